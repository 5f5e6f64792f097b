/* Pointer work on the flat map: lasso and rectangle, a click on a point, dragging the walker, a double click for all
   points. The lasso is our own: while it is drawn nothing but its outline is, however many points there are. */
"use strict";
(() => {
  const NEAR = 12;  // pixels

  /** From pixels in the plot to the map's coordinates, and back. */
  const frameOf = (graph) => {
    const box = graph.querySelector(".nsewdrag").getBoundingClientRect();
    const [[x0, x1], [y0, y1]] = [graph._fullLayout.xaxis.range, graph._fullLayout.yaxis.range];
    const between = (value, most) => Math.min(Math.max(value, 0), most);
    return {
      box,
      toPixels: (x, y) => [((x - x0) / (x1 - x0)) * box.width, (1 - (y - y0) / (y1 - y0)) * box.height],
      toMap: (px, py) => [x0 + (px / box.width) * (x1 - x0), y0 + (1 - py / box.height) * (y1 - y0)],
      place: (event) => [between(event.clientX - box.left, box.width), between(event.clientY - box.top, box.height)],
    };
  };

  /** Networks of the points inside a polygon in the map's coordinates (even-odd rule). */
  const inside = (traces, polygon) => {
    const xs = polygon.map((p) => p[0]), ys = polygon.map((p) => p[1]), n = polygon.length, chosen = [];
    const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    for (const {x, y, customdata} of traces) {
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

  const nearest = (traces, {toPixels}, [px, py]) => {
    let best = NEAR * NEAR, found = null;
    for (const {x, y, customdata} of traces) {
      for (let k = 0; k < x.length; k++) {
        const [qx, qy] = toPixels(x[k], y[k]), distance = (qx - px) ** 2 + (qy - py) ** 2;
        if (distance < best) { best = distance; found = customdata[k]; }
      }
    }
    return found;
  };

  /** What is drawn over the plot while the pointer is down. */
  const overlay = (graph, box) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), home = graph.getBoundingClientRect();
    svg.classList.add("lasso");
    Object.assign(svg.style, {left: `${box.left - home.left}px`, top: `${box.top - home.top}px`, width: `${box.width}px`, height: `${box.height}px`});
    svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
    graph.append(svg);
    return svg;
  };

  const extent = (corners) => Math.max(...corners.map(([x, y]) => Math.hypot(x - corners[0][0], y - corners[0][1])));

  /** While the pointer is down: `follow(event)` at each move, `done(event)` at the end, nothing after Escape. */
  const track = (follow, done, undo) => {
    const quit = new AbortController(), options = {signal: quit.signal, capture: true};
    const end = (action) => (event) => { quit.abort(); undo(); action?.(event); };
    addEventListener("pointermove", follow, options);
    addEventListener("pointerup", end(done), options);
    addEventListener("pointercancel", end(), options);
    addEventListener("keydown", (event) => { if (event.key === "Escape") end()(); }, options);
  };

  const outline = (graph, map, start, frame) => {
    const corners = [start], rectangle = graph._fullLayout.dragmode === "select", svg = overlay(graph, frame.box);
    const follow = (event) => {
      const [x, y] = frame.place(event);
      if (rectangle) corners.splice(1, 3, [x, start[1]], [x, y], [start[0], y]);
      else corners.push([x, y]);
      svg.firstChild.setAttribute("d", `M${corners.map((p) => p.join(" ")).join("L")}Z`);
    };
    const done = (event) => {
      if (extent(corners) < 4) map.clicked(nearest(map.traces(), frame, start));
      else map.chosen(inside(map.traces(), corners.map(([px, py]) => frame.toMap(px, py))), event.shiftKey);
    };
    track(follow, done, () => svg.remove());
  };

  /** The walker follows the pointer; the others hear of it at most eight times a second, and at the end. */
  const walk = (graph, map, frame) => {
    const svg = overlay(graph, frame.box);
    let told = 0;
    const follow = (event) => {
      const [x, y] = frame.place(event), now = performance.now();
      svg.firstChild.setAttribute("d", `M${x - 9} ${y}h18M${x} ${y - 9}v18`);
      if (now - told < 120) return;
      told = now;
      map.walked(frame.toMap(x, y));
    };
    track(follow, (event) => map.walked(frame.toMap(...frame.place(event))), () => svg.remove());
  };

  /** Listen to a graph. `map` gives flat(), traces() that are seen, ranges() of the frame and walker() (a place or
      null); it is told clicked(network), chosen(networks, added) and walked(place). */
  const bind = (graph, map) => {
    const drawing = (event) => map.flat() && event.target.closest?.(".nsewdrag")
      && ["lasso", "select"].includes(graph._fullLayout?.dragmode);
    const begin = (event) => {
      if (event.button !== 0 || !drawing(event)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const frame = frameOf(graph), start = frame.place(event), walker = map.walker();
      const [wx, wy] = walker ? frame.toPixels(...walker) : [Infinity, Infinity];
      if (Math.hypot(wx - start[0], wy - start[1]) < NEAR + 4) walk(graph, map, frame);
      else outline(graph, map, start, frame);
    };
    const everything = () => window.Plotly.relayout(graph, graph._fullLayout.xaxis.autorange ? map.ranges()
      : {"xaxis.autorange": true, "yaxis.autorange": true});
    graph.addEventListener("pointerdown", begin, true);
    graph.addEventListener("dblclick", (event) => { if (drawing(event)) everything(); }, true);
    for (const kind of ["mousedown", "touchstart"]) {  // plotly's own tools do not hear of it
      graph.addEventListener(kind, (event) => { if (drawing(event)) event.stopImmediatePropagation(); }, {capture: true, passive: true});
    }
  };

  window.aelleLasso = {bind};
})();
