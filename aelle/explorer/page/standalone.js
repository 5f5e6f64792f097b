// The standalone page: one latent map, one network at a time. All data comes from the JSON block above;
// text reaches the page through textContent only, and reaches plotly with its markup escaped.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const decode = ({dtype, bdata}) => {
    const bytes = Uint8Array.from(atob(bdata), (c) => c.charCodeAt(0));
    return new {f4: Float32Array, i4: Int32Array}[dtype](bytes.buffer);
  };
  const escape = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const CONFIG = {displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]};
  const points = Object.fromEntries(Object.entries(data.points).map(([key, value]) => [key, decode(value)]));
  const curves = Object.fromEntries(Object.entries(data.curves).map(([key, value]) => [key, decode(value)]));
  const spectra = Object.fromEntries(Object.entries(data.spectra).map(([key, value]) => [key, decode(value)]));
  const columns = data.columns.map((column) => ({...column, values: decode(column.values)}));
  const last = data.epochs.length - 1;
  const view = {column: columns[data.start.column], at: data.start.place, network: null, theme: "light", timer: null};

  // Point of each network at each epoch's place, -1 where there is none.
  const place = new Map(data.epochs.map((epoch, k) => [epoch, k]));
  const rowAt = data.ids.map(() => new Int32Array(data.epochs.length).fill(-1));
  points.network.forEach((network, row) => { rowAt[network][place.get(points.epoch[row])] = row; });

  function position(network, at) {
    const low = Math.floor(at), high = Math.min(low + 1, last), part = at - low;
    const from = rowAt[network][low], to = rowAt[network][high];
    if (from < 0 || (part > 0 && to < 0)) return null;
    const mix = (values) => part > 0 ? values[from] * (1 - part) + values[to] * part : values[from];
    const [x, y] = [mix(points.x), mix(points.y)];
    return Number.isFinite(x) && Number.isFinite(y) ? {x, y, row: from} : null;
  }

  function mapTraces() {
    const theme = data.themes[view.theme], column = view.column, kinds = column.levels.length > 0;
    const parts = (kinds ? column.levels : [""]).map(() => ({x: [], y: [], customdata: [], color: []}));
    for (let network = 0; network < data.ids.length; network++) {
      const where = position(network, view.at);
      if (!where) continue;
      const value = column.values[where.row], part = parts[kinds ? value : 0];
      if (!part) continue;
      part.x.push(where.x); part.y.push(where.y); part.customdata.push(network);
      part.color.push(Number.isFinite(value) ? value : null);
    }
    const many = data.ids.length > data.many;
    const traces = parts.map((part, k) => ({
      type: many ? "scattergl" : "scatter", mode: "markers", x: part.x, y: part.y, customdata: part.customdata, hoverinfo: "none",
      name: kinds ? escape(column.levels[k]) : "", showlegend: kinds,
      marker: {size: many ? 4 : 9, opacity: many ? .75 : .9, line: {width: many ? 0 : .75, color: theme.edge},
        ...(kinds ? {color: column.colours[view.theme][k]} : {color: part.color, coloraxis: "coloraxis"})},
    }));
    return [...rings(theme), ...traces, ...trail(theme)];
  }

  function rings(theme) {
    return Object.entries(data.groups).filter(([, group]) => group.length).map(([name, group]) => {
      const places = group.map((network) => position(network, view.at)).filter(Boolean);
      return {type: "scatter", mode: "markers", x: places.map((p) => p.x), y: places.map((p) => p.y),
        hoverinfo: "skip", showlegend: true, name: name === "group_a" ? "selection A" : "selection B",
        marker: {size: 14, symbol: "circle-open", color: theme[name], line: {width: 2}}};
    });
  }

  function trail(theme) {
    if (view.network === null) return [];
    const stops = [];
    for (let k = 0; k <= view.at; k++) stops.push(position(view.network, k));
    if (view.at % 1) stops.push(position(view.network, view.at));
    const seen = stops.filter(Boolean), end = seen.slice(-1);
    const common = {hoverinfo: "skip", showlegend: false, type: "scatter"};
    return [
      {...common, mode: "lines+markers", x: seen.map((p) => p.x), y: seen.map((p) => p.y),
        line: {color: theme.ink, width: 2}, marker: {size: 4, color: theme.ink}},
      {...common, mode: "markers", x: end.map((p) => p.x), y: end.map((p) => p.y),
        marker: {size: 16, symbol: "circle-open", color: theme.ink, line: {width: 2.5}}},
    ];
  }

  const layoutOf = (name) => JSON.parse(JSON.stringify(data.layouts[view.theme][name]));
  function drawMap() {
    const layout = layoutOf("map"), column = view.column;
    if (column.levels.length) layout.legend.title.text = escape(column.label);
    else {
      layout.coloraxis = column.bar[view.theme];
      for (const [axis, standoff] of Object.entries(data.standoff_with_bar)) layout[axis].title.standoff = standoff;
      Object.assign(layout.legend, {x: 1, xanchor: "right", title: {}});  // the bar stands at the left
      layout.margin.t = 78;
    }
    layout.uirevision = "map";
    if (data.start.zoom) [layout.xaxis.range, layout.yaxis.range] = [data.start.zoom.slice(0, 2), data.start.zoom.slice(2)];
    Plotly.react("map", mapTraces(), layout, CONFIG);
    const shown = data.epochs[Math.floor(view.at)];
    $("epoch-shown").textContent = shown === 0 ? "0 (untrained)" : String(shown);
    $("epoch").value = Math.round(view.at);
    $("epoch").setAttribute("aria-valuetext", "epoch " + shown);
  }

  function layoutOfPanel(name) {
    const layout = layoutOf(name);
    Object.assign(layout.legend, {x: 0, xanchor: "left"});  // the figure's buttons stand at the right
    return layout;
  }

  function drawSpectra() {
    const layout = layoutOfPanel("spectra"), traces = [];
    const rows = [...spectra.network.keys()].filter((row) => spectra.network[row] === view.network);
    rows.forEach((row, k) => {
      const all = Array.from(spectra.values.slice(spectra.offsets[row], spectra.offsets[row + 1]));
      const y = all.filter(Number.isFinite), lost = all.length - y.length;
      const colour = data.themes[view.theme].sequence[Math.round(k / Math.max(rows.length - 1, 1) * 15)];
      traces.push({type: "scatter", mode: "lines+markers", x: y.map((_, i) => i + 1), y, marker: {size: 4, color: colour},
        line: {color: colour, width: 2}, hovertemplate: "λ<sub>%{x}</sub> = %{y:.4f}",
        name: `epoch ${spectra.epoch[row]}` + (lost ? ` (${lost} at −∞)` : "")});
    });
    Plotly.react("spectra", traces, layout, CONFIG);
  }

  function drawCurves() {
    const layout = layoutOfPanel("curves"), theme = data.themes[view.theme];
    const rows = [...curves.network.keys()].filter((row) => curves.network[row] === view.network);
    const pick = (values) => rows.map((row) => Number.isFinite(values[row]) ? values[row] : null);
    const epoch = rows.map((row) => curves.epoch[row]), line = {color: theme.group_a, width: 2.5};
    const hovertemplate = "epoch %{x}: %{y:.4f}<extra></extra>";
    const traces = {
      metric: [{y: pick(curves.metric), mode: "lines+markers", showlegend: false}],
      loss: [{y: pick(curves.train_loss), mode: "lines", line: {...line, dash: "dot"}, name: "training loss"},
        {y: pick(curves.val_loss), mode: "lines", name: "validation loss"}],
      exponent: [{y: pick(curves.exponent), mode: "lines+markers", line: {...line, color: theme.group_b}, connectgaps: true, showlegend: false}],
    };
    const shown = Object.entries(data.panels).flatMap(([name, place]) => traces[name].map((trace) => ({x: epoch, line, hovertemplate, ...place, ...trace})));
    Plotly.react("curves", shown, layout, CONFIG);
  }

  function show(network) {
    view.network = network;
    const words = `${data.ids[network]}: ${data.about[network]}`;
    $("spectra-title").textContent = `${data.exponents_title} of ` + words;
    $("curves-title").textContent = "Learning curve of " + data.ids[network];
    $("search").value = data.ids[network];
    drawMap(); drawSpectra(); drawCurves();
  }

  function tip(event) {
    const point = event.points[0], network = point.customdata;
    if (network === undefined) return;
    const {row} = position(network, view.at), box = $("tip");
    const cells = columns.slice(0, 7).concat(columns.includes(view.column, 7) ? [view.column] : []);
    const head = document.createElement("b"), table = document.createElement("table");
    head.textContent = `${data.ids[network]} · epoch ${points.epoch[row]}`;
    table.className = "facts-table";
    for (const column of cells) {
      const value = column.values[row], line = table.insertRow();
      line.insertCell().textContent = column.label;
      line.insertCell().textContent = column.levels.length ? column.levels[value] ?? "" : number(column, value);
    }
    box.replaceChildren(head, table);
    window.aelleCard.place(box, [event.event.clientX, event.event.clientY], window.aelleCard.placesOf($("map"), shownTraces()));
  }
  const shownTraces = () => $("map")._fullData.filter((trace) => trace.visible === true && trace.customdata);
  const number = (column, value) => !Number.isFinite(value) ? "no value"
    : String(Number((column.logarithmic ? 10 ** value : value).toPrecision(4)));

  function stop() {
    cancelAnimationFrame(view.timer);
    view.timer = null; $("play").textContent = "Play";
    view.at = Math.round(view.at); drawMap();
  }
  function play() {
    if (view.timer !== null) return stop();
    if (view.at >= last) view.at = 0;
    $("play").textContent = "Pause";
    let before = performance.now();
    const step = (now) => {
      view.at = Math.min(view.at + (now - before) / 1200, last); before = now;
      if (view.at >= last) return stop();
      drawMap(); view.timer = requestAnimationFrame(step);
    };
    view.timer = requestAnimationFrame(step);
  }

  function paint(theme) {
    view.theme = theme;
    document.documentElement.dataset.theme = theme;
    $("theme").textContent = theme === "dark" ? "Light" : "Dark";
    $("theme").setAttribute("aria-pressed", String(theme === "dark"));
    drawMap(); drawSpectra(); drawCurves();
  }

  $("name").textContent = data.name; $("facts").textContent = data.facts; $("map-title").textContent = data.title;
  const sentences = data.headline.split(/(?<=\.) (?=At epoch)/);  // of the first epoch, then of later ones
  $("headline").hidden = !data.headline;
  $("headline").firstElementChild.textContent = sentences[0];
  for (const sentence of sentences.slice(1)) $("headline").appendChild(document.createElement("p")).textContent = sentence;
  $("notes").textContent = data.notes; $("notes").hidden = !data.notes;
  columns.forEach((column, k) => $("colour").add(new Option(column.label, k)));
  $("ids").append(...data.ids.map((id) => new Option(id)));
  $("epoch").max = last; $("play").disabled = last < 1;
  $("colour").onchange = () => { view.column = columns[$("colour").value]; drawMap(); };
  $("epoch").oninput = () => { if (view.timer !== null) stop(); view.at = Number($("epoch").value); drawMap(); };
  $("play").onclick = play;
  $("theme").onclick = () => paint(view.theme === "dark" ? "light" : "dark");
  $("search").onchange = () => { const found = data.ids.indexOf($("search").value.trim()); if (found >= 0) show(found); };
  $("colour").value = data.start.column;
  paint(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  $("map").on("plotly_click", (event) => { if (event.points[0].customdata !== undefined) show(event.points[0].customdata); });
  $("map").on("plotly_hover", tip);
  $("map").on("plotly_unhover", () => { $("tip").hidden = true; });
  addEventListener("pointerdown", () => { $("tip").hidden = true; }, true);
  if (data.start.network !== null) show(data.start.network);
  const resized = new ResizeObserver((boxes) => boxes.forEach(({target}) => Plotly.Plots.resize(target)));
  ["map", "spectra", "curves"].forEach((id) => resized.observe($(id)));
})();
