/* The latent map in the browser: points from the server; rings around selections, and marks, laid under them. */
"use strict";
(() => {
  const {draw, sized, graphOf, unpacked, tell, clicked} = window.aelleFigures;
  const RINGS = 2, MARKS = 3;  // traces before the points: rings A and B; trails, focus, walker
  const MOST_TRAILS = 200;
  const state = {figure: null, marks: null, asked: null, selection: {a: [], b: []}, where: null, drawn: null, hovered: null, zoom: null};

  const points = () => state.figure.data.slice(RINGS + MARKS);
  const marks = () => state.marks ?? state.figure.data.slice(RINGS, RINGS + MARKS);
  const flat = () => state.figure.data[0]?.type !== "scatter3d";
  const onCanvas = () => state.figure.data[0]?.type === "scattergl";

  /** For each network its trace and its place in it, so that rings are found without the server. */
  const locate = () => {
    let most = -1;
    for (const {customdata} of points()) for (const network of customdata ?? []) most = Math.max(most, network);
    const trace = new Int16Array(most + 1).fill(-1), place = new Int32Array(most + 1);
    points().forEach((one, t) => (one.customdata ?? []).forEach((network, k) => { trace[network] = t; place[network] = k; }));
    return {trace, place};
  };

  /** The coordinates of the rings of a selection. */
  const ringed = (key) => {
    state.where ??= locate();
    const {trace, place} = state.where, traces = points();
    const shown = state.selection[key].filter((network) => trace[network] >= 0);
    return Object.fromEntries((flat() ? ["x", "y"] : ["x", "y", "z"]).map((axis) => [
      axis, Float32Array.from(shown, (network) => traces[trace[network]][axis][place[network]]),
    ]));
  };

  /** The whole figure; plotly forgets traces of no points, so an empty one has a gap. */
  const composed = (ringsToo) => {
    const templates = state.figure.data.slice(0, RINGS);
    const rings = ["a", "b"].map((key, k) => {
      const places = ringsToo ? ringed(key) : {x: []};
      return places.x.length ? {...templates[k], ...places} : templates[k];
    });
    return {data: [...rings, ...marks(), ...points()], layout: zoomed(state.figure.layout)};
  };

  /** The frame that was chosen, as long as the same things stand along the axes. */
  const zoomed = (layout) => {
    if (!state.zoom || !layout.xaxis) return layout;
    state.zoom.of ??= layout.uirevision;
    if (state.zoom.of !== layout.uirevision) { state.zoom = null; tell("zoom", null); return layout; }
    const [x0, x1, y0, y1] = state.zoom.ends;
    return {...layout, xaxis: {...layout.xaxis, range: [x0, x1]}, yaxis: {...layout.yaxis, range: [y0, y1]}};
  };

  /** After a change of the frame: kept for the link, unless it is the map's own. */
  const framed = () => {
    const graph = graphOf("map");
    if (!flat() || !graph?._fullLayout?.xaxis) return;
    const {xaxis, yaxis} = graph._fullLayout, own = state.figure.layout, ends = [...xaxis.range, ...yaxis.range];
    const same = [...own.xaxis.range, ...own.yaxis.range].every((end, k) => Math.abs(end - ends[k]) < 1e-6 * (1 + Math.abs(end)));
    state.zoom = same ? null : {ends, of: own.uirevision};
    tell("zoom", same ? null : ends);
  };

  const ringsOnCanvas = () => {
    const graph = graphOf("map"), templates = state.figure?.data ?? [];
    if (!graph?._fullLayout || !state.figure || !onCanvas()) return;
    window.aelleRings.draw(graph, ["a", "b"].map((key, k) => ({...ringed(key), colour: templates[k].marker.color, size: templates[k].marker.size})));
  };

  const show = async (moving = false) => {
    if (!state.figure || !graphOf("map")) return;
    const figure = composed(!onCanvas());
    state.drawn = JSON.stringify(state.marks);
    const graph = await draw("map", moving ? figure : {...figure, layout: {...figure.layout, transition: undefined}});
    if (!graph) return;
    bind(graph);
    ringsOnCanvas();
  };

  // Several changes at once are one redraw, and what they ask of the server is sent before it starts.
  let waiting = null;
  const soon = (pause = 0) => { waiting ??= setTimeout(() => { waiting = null; show(); }, pause); };

  /** The traces of points that are seen: a click in the legend hides others. */
  const visible = () => points().filter((_, k) => graphOf("map")._fullData?.[k + RINGS + MARKS]?.visible !== "legendonly");

  /** A group keeps those of its networks that the view hides, whatever is drawn around. */
  const unseen = (networks) => {
    const seen = new Set(visible().flatMap(({customdata}) => [...customdata ?? []]));
    return networks.filter((network) => !seen.has(network));
  };

  /** The selections once `networks` are put into one group, which so leave the other. */
  const put = (networks, into, selection, added) => {
    const other = into === "a" ? "b" : "a";
    const chosen = new Set([...networks, ...(added ? selection[into] : unseen(selection[into]))]);
    return {[into]: [...chosen], [other]: selection[other].filter((network) => !chosen.has(network))};
  };

  let pressed = false;
  const noCard = () => { state.hovered = null; const box = document.getElementById("tip"); if (box) box.hidden = true; };

  const bind = (graph) => {
    if (graph.dataset.map) return;
    graph.dataset.map = "yes";
    graph.on("plotly_hover", (event) => {
      const point = event.points.find((one) => Number.isInteger(one.customdata));
      if (!point?.bbox || pressed || point.customdata === state.hovered?.network) return;
      const {x0, x1, y0, y1} = point.bbox, {left, top} = graph.getBoundingClientRect();
      state.hovered = {network: point.customdata, at: [left + (x0 + x1) / 2, top + (y0 + y1) / 2]};
      tell("hovered", {network: point.customdata});
    });
    graph.on("plotly_unhover", noCard);
    addEventListener("pointerdown", () => { pressed = true; noCard(); }, true);
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = false; }, true);
    addEventListener("scroll", noCard, {capture: true, passive: true});
    for (const event of ["plotly_relayout", "plotly_relayouting"]) graph.on(event, ringsOnCanvas);
    graph.on("plotly_relayout", framed);
    window.aelleLasso.bind(graph, {
      flat, clicked,
      traces: visible,
      ranges: () => ({"xaxis.range": [...state.figure.layout.xaxis.range], "yaxis.range": [...state.figure.layout.yaxis.range]}),
      walker: () => { const {x, y} = marks()[MARKS - 1]; return Number.isFinite(x?.[0]) ? [x[0], y[0]] : null; },
      chosen: (networks, added) => { if (networks.length) tell("lassoed", {networks, added, count: ++count}); },
      walked: (place) => tell("walk-drag", place),
    });
  };
  let count = 0;

  /** The map as it is exported: with its rings, wherever they are drawn. */
  const exported = () => composed(true);

  window.aelleMap = {redraw: soon, exported};
  window.dash_clientside = Object.assign({}, window.dash_clientside, {latent_map: {
    figure: (figure, id, zoom) => {
      if (!figure) return;
      if (zoom && !state.zoom) state.zoom = {ends: zoom};
      if (figure.message !== undefined) {
        state.figure = null;
        draw("map", figure);
        return;
      }
      // Marks that were asked for after this figure was are newer than those in it.
      const newer = state.asked && JSON.stringify(state.asked) !== JSON.stringify(figure.layout.meta ?? null);
      Object.assign(state, {figure: unpacked(figure), marks: newer ? state.marks : null, where: null});
      const place = document.getElementById("map");
      if (place && flat() && !window.Plotly) {
        const {data, layout} = sized({data: points(), layout: zoomed(state.figure.layout)});
        window.aelleFirstLook.draw(place, data, layout);
        setTimeout(show, 30);  // time for it to be seen
      } else show(Boolean(figure.layout.transition));
    },
    marks: (found) => {
      if (!found) return;
      state.marks = unpacked(found);
      if (JSON.stringify(state.marks) !== state.drawn) soon(state.figure && onCanvas() ? 300 : 0);
    },
    /** Rings are drawn here; marks are asked for: ways of the first of the chosen networks, the focus, and the walker
        while one walks. */
    ask: (selection, focus, paths, tab, walker) => {
      if (state.selection !== selection) {
        state.selection = selection;
        if (state.figure) onCanvas() ? setTimeout(ringsOnCanvas, 0) : soon();
      }
      const chosen = new Set([...(focus == null ? [] : [focus]), ...selection.a.slice(0, MOST_TRAILS), ...selection.b.slice(0, MOST_TRAILS)]);
      state.asked = {followed: paths === "trails" ? [...chosen].slice(0, MOST_TRAILS) : [], focus: focus ?? null, paths,
        walker: tab === "walk" ? walker ?? null : null};
      return state.asked;
    },
    /** What a lasso makes of the selections. */
    lassoed: (lassoed, into, selection) =>
      lassoed ? put(lassoed.networks, into, selection, lassoed.added) : window.dash_clientside.no_update,
    /** All that is seen, but for what the other group holds. */
    all: (clicks, into, selection) => {
      if (!clicks || !state.figure) return window.dash_clientside.no_update;
      const others = new Set(selection[into === "a" ? "b" : "a"]);
      return put(visible().flatMap(({customdata}) => [...customdata ?? []]).filter((network) => !others.has(network)), into, selection);
    },
    /** What the search has found joins the group. */
    found: (clicks, into, selection, found) => (clicks && found.length ? put(found, into, selection, true) : window.dash_clientside.no_update),
    /** The card of a network has come from the server; it is shown where the pointer still is on that network. */
    card: (network) => {
      const box = document.getElementById("tip"), graph = graphOf("map");
      if (!box || network == null || network !== state.hovered?.network || !graph?._fullLayout) return;
      window.aelleCard.place(box, state.hovered.at, flat() ? window.aelleCard.placesOf(graph, visible()) : []);
    },
  }});
})();
