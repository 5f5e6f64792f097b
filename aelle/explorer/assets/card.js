/* The card beside a point: where it hides fewest other points, inside the window, away while the pointer is down. */
"use strict";
(() => {
  const APART = 14;  // pixels from the point

  /** Put a card beside a point at [x, y] of the window; `others` are the places of points that it should not hide. */
  const place = (box, [x, y], others) => {
    box.hidden = false;
    const {offsetWidth: w, offsetHeight: h} = box, edge = 4;
    const corners = [[x + APART, y + APART], [x - APART - w, y + APART], [x + APART, y - APART - h], [x - APART - w, y - APART - h]];
    const costs = corners.map(([left, top]) => {
      const outside = left < edge || top < edge || left + w > innerWidth - edge || top + h > innerHeight - edge;
      return others.reduce((n, [px, py]) => n + (px > left && px < left + w && py > top && py < top + h), outside ? others.length + 1 : 0);
    });
    const [left, top] = corners[costs.indexOf(Math.min(...costs))];
    box.style.left = `${Math.max(edge, Math.min(left, innerWidth - w - edge))}px`;
    box.style.top = `${Math.max(edge, Math.min(top, innerHeight - h - edge))}px`;
  };

  /** The places in the window of a flat graph's points, every n-th where they are many. */
  const placesOf = (graph, traces) => {
    const box = graph.querySelector(".nsewdrag").getBoundingClientRect(), found = [];
    const [[x0, x1], [y0, y1]] = [graph._fullLayout.xaxis.range, graph._fullLayout.yaxis.range];
    const every = Math.ceil(traces.reduce((n, {x}) => n + x.length, 0) / 2000);
    for (const {x, y} of traces) {
      for (let k = 0; k < x.length; k += every) {
        found.push([box.left + ((x[k] - x0) / (x1 - x0)) * box.width, box.top + (1 - (y[k] - y0) / (y1 - y0)) * box.height]);
      }
    }
    return found;
  };

  window.aelleCard = {place, placesOf};
})();
