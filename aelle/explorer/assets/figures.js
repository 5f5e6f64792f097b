/* Draws the figures that the server sends. One place for all of them, so that a lasso over a hundred thousand
   points costs what the points cost: no copies of the events, no redrawing of what did not change. */
"use strict";
(() => {
  const SEEN = {spectra: "network", curves: "network", bands: "selection", "curve-bands": "selection",
    histograms: "special", parallel: "parallel", importance: "parallel", predicted: "prediction", ladder: "prediction", decoded: "walk"};
  const ARRAYS = {f4: Float32Array, f8: Float64Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
    i4: Int32Array, u4: Uint32Array};
  const latest = {}, drawn = {};  // the figure of each place: as last received, and as last drawn

  const SOURCE = document.currentScript.src.replace(/assets\/figures\.js.*/, "_dash-component-suites/plotly/package_data/plotly.min.js");

  const toHead = (kind, what) => document.head.append(Object.assign(document.createElement(kind), what));

  /* Plotly takes half a second to start. It is fetched while the page is filled in, and started once there is
     something to draw. */
  let fetched = false, starting = null;
  const fetchPlotly = () => { if (!fetched) { fetched = true; toHead("link", {rel: "preload", as: "script", href: SOURCE}); } };
  const started = () => starting ??= new Promise((resolve) => toHead("script", {src: SOURCE, onload: () => resolve(window.Plotly)}));

  /** Packed arrays ({dtype, bdata}) of a figure become typed arrays, once. */
  const unpacked = (value) => {
    if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(unpacked) : value;
    if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
    if (value.bdata !== undefined && !value.shape) {
      return new ARRAYS[value.dtype](Uint8Array.from(atob(value.bdata), (c) => c.charCodeAt(0)).buffer);
    }
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpacked(part)]));
  };

  /** Words in the place of a figure. */
  const say = (name, words) => {
    const place = document.getElementById(name), graph = place?.querySelector(":scope > .graph");
    if (graph) window.Plotly.purge(graph);
    place?.replaceChildren(Object.assign(document.createElement("p"), {className: "says", textContent: words}));
    drawn[name] = latest[name];
  };

  /** The part of the page that plotly draws into. */
  const graphOf = (name) => {
    const place = document.getElementById(name);
    if (!place) return null;
    const made = () => { fits.observe(place); return place.appendChild(Object.assign(document.createElement("div"), {className: "graph"})); };
    return place.querySelector(":scope > .graph") ?? made();
  };

  /* A figure takes the size of its place, whatever changed that: the window, its zoom, a headline that opens. */
  const fits = new ResizeObserver((places) => {
    for (const {target} of places) {
      const graph = target.querySelector(":scope > .graph"), {width, height} = target.getBoundingClientRect();
      if (!graph?._fullLayout || !width || !height) continue;
      if (graph._fullLayout.width !== Math.floor(width) || graph._fullLayout.height !== Math.floor(height)) window.Plotly.Plots.resize(graph);
    }
  });

  /** The map's camera: its rings may lie outside plotly's own figure. */
  const picture = {
    name: "picture", title: "Download plot as a PNG",
    icon: {width: 1000, height: 1000, path: "M500 400a200 200 0 1 0 1 0zM100 200h200l80-100h240l80 100h200a60 60 0 0 1 60 60v520a60 60 0 0 1-60 60h-800a60 60 0 0 1-60-60v-520a60 60 0 0 1 60-60z", transform: "matrix(1 0 0 1 0 0)"},
    click: (graph) => {
      const {width, height} = graph._fullLayout, {data, layout} = sized(window.aelleMap.exported());
      return window.Plotly.downloadImage({data, layout: {...layout, transition: undefined}}, {format: "png", width, height, scale: 2, filename: "aelle-map"});
    },
  };

  const config = (name) => ({
    displaylogo: false, displayModeBar: name === "parallel" ? false : "hover", scrollZoom: name === "map", doubleClickDelay: 350,
    modeBarButtons: [name === "map" ? [picture, "lasso2d", "select2d", "pan2d", "zoom2d", "resetScale2d"]
      : ["toImage", "zoom2d", "pan2d", "resetScale2d"]],  // none that sends anything anywhere
    toImageButtonOptions: {filename: `aelle-${name}`, scale: 2},
  });

  /** Plotly's first lines take several times as long as later ones: they are drawn unseen while nobody waits. */
  const rehearse = () => {
    const stage = Object.assign(document.createElement("div"), {style: "position: absolute; left: -999px; width: 300px; height: 200px"});
    const [x, y] = [[0, 1], [0, 1]], band = {x, y, mode: "lines", fill: "tonexty"}, other = {xaxis: "x2", yaxis: "y2"};
    const title = {text: "x"}, axes = {xaxis: {domain: [0, 0.4], title}, yaxis: {title}, xaxis2: {domain: [0.6, 1]}, yaxis2: {anchor: "x2"}};
    document.body.append(stage);
    window.Plotly.newPlot(stage, [band, {...band, ...other}], axes).then(() => { window.Plotly.purge(stage); stage.remove(); });
  };

  /** On a projector type and lines are larger; a figure says its own sizes, so they are multiplied here. */
  const enlarged = (value, key = "") => {
    if (typeof value === "number") return value;
    if (Array.isArray(value)) return typeof value[0] === "object" ? value.map((part) => enlarged(part)) : value;
    if (value === null || typeof value !== "object" || ArrayBuffer.isView(value)) return value;
    const times = {size: /font/.test(key) ? 1.45 : 1.3, width: key === "line" ? 1.5 : 1, thickness: 1.4}, grown = {};
    for (const [name, part] of Object.entries(value)) {
      grown[name] = typeof part === "number" && times[name] && key !== "selection" ? part * times[name] : enlarged(part, name);
    }
    return grown;
  };
  const sized = (figure) => {
    if (document.documentElement.dataset.display !== "projector") return figure;
    const layout = enlarged(figure.layout);
    if (layout.margin) layout.margin = Object.fromEntries(Object.entries(layout.margin).map(([side, px]) => [side, side === "r" ? px : px * 1.3]));
    return {data: figure.data.map((trace) => enlarged(trace)), layout};
  };

  /** Draw a figure where it is seen, then say so; of figures in a hidden view only the last is drawn, once shown. */
  const draw = async (name, figure) => {
    latest[name] = figure;
    if (figure?.message !== undefined) return say(name, figure.message);
    const Plotly = await started(), place = document.getElementById(name);
    if (latest[name] !== figure || !place || place.closest("[hidden]")) return null;
    const graph = graphOf(name);
    const {data, layout} = sized(figure);
    drawn[name] = figure;
    await Plotly.react(graph, data, {...layout}, config(name));
    if (latest[name] !== figure) return null;
    for (const other of [...place.children]) if (other !== graph) other.remove();
    if (!graph.dataset.bound) {
      graph.dataset.bound = "yes";
      graph.on("plotly_click", (event) => clicked(event.points[0]?.customdata));
      if (name === "parallel") graph.on("plotly_restyle", () => tell("lassoed", {networks: brushed(graph), added: false, count: ++clicks}));
      if (name === "map") requestIdleCallback(rehearse, {timeout: 2000});
    }
    return graph;
  };

  /** The networks whose lines pass through every range that is marked on parallel axes; none where none is marked. */
  const brushed = ({data: [{dimensions}], layout: {meta}}) => {
    const marked = dimensions.filter(({constraintrange}) => constraintrange?.length);
    const within = (value, range) => (typeof range[0] === "number" ? [range] : range).some(([low, high]) => value >= low && value <= high);
    return marked.length ? meta.filter((_, k) => marked.every(({values, constraintrange}) => within(values[k], constraintrange))) : [];
  };

  let clicks = 0;
  const tell = (name, data) => window.dash_clientside.set_props(name, {data});
  const clicked = (network) => Number.isInteger(network) && tell("clicked", {network, count: ++clicks});

  /** After a change of display: every figure again, in its new size. */
  const redraw = () => {
    for (const name of Object.keys(latest)) name === "map" ? window.aelleMap.redraw() : draw(name, latest[name]);
  };

  /** A view is shown: what came while it was hidden is drawn, and the rest takes the size the window has now. */
  const shown = (tab) => {
    fetchPlotly();
    for (const name of Object.keys(latest).filter((one) => SEEN[one] === tab)) {
      if (drawn[name] !== latest[name]) draw(name, latest[name]);
      else if (latest[name].message === undefined) window.Plotly.Plots.resize(graphOf(name));
    }
  };

  window.aelleFigures = {draw, sized, graphOf, unpacked, tell, clicked, redraw, shown};
  window.dash_clientside = Object.assign({}, window.dash_clientside, {figures: {
    draw: (figure, id) => { if (figure) draw(id.replace(/-figure$/, ""), unpacked(figure)); },
  }});
})();
