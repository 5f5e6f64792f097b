/* The latent map in the browser: rings around the selections, the lasso, the hover card, the walker that is dragged. */
"use strict";
(() => {
  const {draw, graphOf, unpacked, tell, clicked} = window.aelleFigures;
  const RINGS = 2, MARKS = 3;  // traces before the points: rings A and B; trails, focus, walker
  const NEAR = 12;  // pixels
  const MOST_TRAILS = 200;
  const state = {figure: null, marks: null, selection: {a: [], b: []}, where: null};

  const pointTraces = () => state.figure.data.slice(RINGS + MARKS);
  const flat = () => state.figure.data[0].type !== "scatter3d";

  /** For each network its trace and place in it, to find rings without the server. */
  const locate = () => {
    const most = pointTraces().reduce((top, trace) => (trace.customdata ?? []).reduce((a, b) => Math.max(a, b), top), -1);
    const trace = new Int16Array(most + 1).fill(-1), place = new Int32Array(most + 1);
    pointTraces().forEach((one, t) => (one.customdata ?? []).forEach((network, k) => { trace[network] = t; place[network] = k; }));
    return {trace, place};
  };

  const ring = (template, networks) => {
    const points = pointTraces(), keys = flat() ? ["x", "y"] : ["x", "y", "z"];
    const shown = networks.filter((network) => state.where.trace[network] >= 0);
    const at = (key) => shown.length
      ? Float32Array.from(shown, (network) => points[state.where.trace[network]][key][state.where.place[network]])
      : [null];  // plotly forgets traces of no points
    return {...template, ...Object.fromEntries(keys.map((key) => [key, at(key)]))};
  };

  const show = async (moving = false) => {
    if (!state.figure || !graphOf("map")) return;
    const {data, layout} = state.figure;
    if (!data[0]?.name?.startsWith("selection")) { await draw("map", state.figure); return; }  // a message, no map
    state.where ??= locate();
    const rings = ["a", "b"].map((key, k) => ring(data[k], state.selection[key]));
    const marks = state.marks ?? data.slice(RINGS, RINGS + MARKS);
    const figure = {data: [...rings, ...marks, ...pointTraces()], layout: moving ? layout : {...layout, transition: undefined}};
    bind(await draw("map", figure));
  };

  // A redraw of very many points takes a while; several changes at once are one redraw, after what they asked for was sent.
  let waiting = null;
  const soon = () => { waiting ??= setTimeout(() => { waiting = null; show(); }, 0); };

  const bind = (graph) => {
    if (!graph || graph.dataset.map) return;
    graph.dataset.map = "yes";
    let last = null;
    graph.on("plotly_hover", (event) => {
      const point = event.points.find((one) => Number.isInteger(one.customdata));
      if (!point || !point.bbox || point.customdata === last) return;
      last = point.customdata;
      tell("hovered", {network: last, bbox: point.bbox});
    });
    graph.on("plotly_unhover", () => { last = null; tell("hovered", null); });
    graph.addEventListener("pointerdown", begin, true);
    graph.addEventListener("dblclick", (event) => { if (drawing(event)) everything(graph); }, true);
    for (const kind of ["mousedown", "touchstart"]) {
      graph.addEventListener(kind, (event) => { if (drawing(event)) event.stopImmediatePropagation(); }, {capture: true, passive: true});
    }
  };

  const drawing = (event) => flat() && event.target.closest?.(".nsewdrag")
    && ["lasso", "select"].includes(graphOf("map")._fullLayout?.dragmode);

  const everything = (graph) => {
    const all = graph._fullLayout.xaxis.autorange, {xaxis, yaxis} = state.figure.layout;
    window.Plotly.relayout(graph, all ? {"xaxis.range": [...xaxis.range], "yaxis.range": [...yaxis.range]}
      : {"xaxis.autorange": true, "yaxis.autorange": true});
  };

  /** From pixels in the plot to the map's coordinates, and back. */
  const frame = (graph) => {
    const box = graph.querySelector(".nsewdrag").getBoundingClientRect();
    const [[x0, x1], [y0, y1]] = [graph._fullLayout.xaxis.range, graph._fullLayout.yaxis.range];
    return {
      box,
      toPixels: (x, y) => [((x - x0) / (x1 - x0)) * box.width, (1 - (y - y0) / (y1 - y0)) * box.height],
      toMap: (px, py) => [x0 + (px / box.width) * (x1 - x0), y0 + (1 - py / box.height) * (y1 - y0)],
      place: (event) => [Math.min(Math.max(event.clientX - box.left, 0), box.width), Math.min(Math.max(event.clientY - box.top, 0), box.height)],
    };
  };

  const visible = (graph) => pointTraces().filter((_, k) => graph._fullData[k + RINGS + MARKS]?.visible === true);

  /** Numbers of the points inside a polygon of pixels (even-odd rule). */
  const inside = (graph, corners) => {
    const {toMap} = frame(graph), polygon = corners.map(([px, py]) => toMap(px, py)), chosen = [];
    const xs = polygon.map((p) => p[0]), ys = polygon.map((p) => p[1]), n = polygon.length;
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (const {x, y, customdata} of visible(graph)) {
      for (let k = 0; k < x.length; k++) {
        const px = x[k], py = y[k];
        if (!(px >= left && px <= right && py >= low && py <= high)) continue;
        let within = false;
        for (let i = 0, j = n - 1; i < n; j = i++) {
          if ((ys[i] > py) !== (ys[j] > py) && px < ((xs[j] - xs[i]) * (py - ys[i])) / (ys[j] - ys[i]) + xs[i]) within = !within;
        }
        if (within) chosen.push(customdata[k]);
      }
    }
    return chosen;
  };

  const nearest = (graph, [px, py]) => {
    const {toPixels} = frame(graph);
    let best = NEAR * NEAR, found = null;
    for (const {x, y, customdata} of visible(graph)) {
      for (let k = 0; k < x.length; k++) {
        const [qx, qy] = toPixels(x[k], y[k]), distance = (qx - px) ** 2 + (qy - py) ** 2;
        if (distance < best) { best = distance; found = customdata[k]; }
      }
    }
    return found;
  };

  const walkerNear = (graph, [px, py]) => {
    const trace = (state.marks ?? state.figure.data.slice(RINGS))[MARKS - 1];
    if (!Number.isFinite(trace.x?.[0])) return false;
    const [qx, qy] = frame(graph).toPixels(trace.x[0], trace.y[0]);
    return Math.hypot(qx - px, qy - py) < NEAR + 4;
  };

  /** What is drawn over the plot while the pointer is down. */
  const overlay = (graph, box) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.classList.add("lasso");
    const home = graph.getBoundingClientRect();
    Object.assign(svg.style, {left: `${box.left - home.left}px`, top: `${box.top - home.top}px`, width: `${box.width}px`, height: `${box.height}px`});
    const path = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    graph.append(svg);
    return {svg, path};
  };

  const begin = (event) => {
    if (event.button !== 0 || !drawing(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const graph = graphOf("map"), {box, place} = frame(graph), start = place(event);
    const walking = walkerNear(graph, start), {svg, path} = overlay(graph, box), corners = [start];
    const rectangle = graph._fullLayout.dragmode === "select";
    const follow = walking ? walk(graph, path) : outline(path, corners, rectangle);
    const finish = (up) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", finish);
      removeEventListener("pointercancel", cancel);
      removeEventListener("keydown", escape, true);
      svg.remove();
      if (!up) return;
      if (walking) follow(place(up), true);
      else if (farthest(corners) < 4) clicked(nearest(graph, start));
      else choose(inside(graph, corners), up.shiftKey);
    };
    const move = (moved) => follow(place(moved), false), cancel = () => finish(null);
    const escape = (key) => { if (key.key === "Escape") cancel(); };
    addEventListener("pointermove", move);
    addEventListener("pointerup", finish);
    addEventListener("pointercancel", cancel);
    addEventListener("keydown", escape, true);
  };

  const farthest = (corners) => Math.max(...corners.map(([x, y]) => Math.hypot(x - corners[0][0], y - corners[0][1])));

  const outline = (path, corners, rectangle) => ([x, y]) => {
    if (rectangle) corners.splice(1, 3, [x, corners[0][1]], [x, y], [corners[0][0], y]);
    else corners.push([x, y]);
    path.setAttribute("d", `M${corners.map((p) => p.join(" ")).join("L")}Z`);
  };

  /** The walker follows the pointer; the server hears of it as fast as it answers. */
  const walk = (graph, path) => {
    const {toMap} = frame(graph);
    let told = 0;
    return ([x, y], end) => {
      path.setAttribute("d", `M${x - 9} ${y}h18M${x} ${y - 9}v18`);
      const now = performance.now();
      if (!end && now - told < 120) return;
      told = now;
      tell("walk-drag", toMap(x, y));
    };
  };

  let count = 0;
  const choose = (networks, added) => { if (networks.length) tell("lassoed", {networks, added, count: ++count}); };

  window.aelleMap = {redraw: soon};
  window.dash_clientside = Object.assign({}, window.dash_clientside, {latent_map: {
    figure: (figure) => {
      if (!figure) return;
      // Marks that were asked for after this figure was are newer than those in it.
      const newer = state.asked && JSON.stringify(state.asked) !== JSON.stringify(figure.layout.meta ?? null);
      Object.assign(state, {figure: unpacked(figure), marks: newer ? state.marks : null, where: null});
      show(Boolean(figure.layout.transition));
    },
    marks: (marks) => {
      if (!marks) return;
      state.marks = unpacked(marks);
      soon();
    },
    /** What to mark: ways of the first of the chosen networks, the focus, and the walker while one walks. */
    ask: (selection, focus, paths, tab, walker) => {
      const chosen = new Set([...(focus == null ? [] : [focus]), ...selection.a.slice(0, MOST_TRAILS), ...selection.b.slice(0, MOST_TRAILS)]);
      state.asked = {followed: paths === "trails" ? [...chosen].slice(0, MOST_TRAILS) : [], focus: focus ?? null, paths, walker: tab === "walk" ? walker ?? null : null};
      return state.asked;
    },
    selection: (selection) => {
      const changed = ["a", "b"].some((key) => selection[key].length || state.selection[key].length);
      state.selection = selection;
      if (changed) soon();
    },
    /** What a lasso makes of the selections: it fills A or B, and takes its networks out of the other. */
    lassoed: (lassoed, into, selection) => {
      if (!lassoed) return window.dash_clientside.no_update;
      const other = into === "a" ? "b" : "a";
      const chosen = new Set(lassoed.added ? [...selection[into], ...lassoed.networks] : lassoed.networks);
      return {[into]: [...chosen], [other]: selection[other].filter((network) => !chosen.has(network))};
    },
  }});
})();
