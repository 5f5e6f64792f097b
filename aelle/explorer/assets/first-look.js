/* The map's points as soon as they are known, while plotly is still starting: where they will stand, in the colours
   they will have; nothing to click yet. */
"use strict";
(() => {
  const STEPS = 64;  // colours of a scale

  /** Numbers 0 to 255 of a colour written as #rrggbb. */
  const parts = (colour) => [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));

  const between = (low, high, share) => `rgb(${parts(low).map((part, k) => Math.round(part + (parts(high)[k] - part) * share)).join()})`;

  /** The colour of each point of a trace: its own, or that of its value on the map's scale. */
  const coloursOf = ({marker}, {coloraxis}) => {
    if (typeof marker.color === "string" || !coloraxis) return () => marker.color;
    const {colorscale, cmin, cmax} = coloraxis, table = Array.from({length: STEPS}, (_, step) => {
      const at = step / (STEPS - 1), next = Math.max(1, colorscale.findIndex(([stop]) => stop >= at));
      const [[before, low], [after, high]] = [colorscale[next - 1], colorscale[next]];
      return between(low, high, (at - before) / (after - before));
    });
    const last = STEPS - 1;
    return (k) => table[Math.round(Math.min(Math.max((marker.color[k] - cmin) / (cmax - cmin), 0), 1) * last)];  // none: no value
  };

  /** Draw the traces of a flat map into the empty place of its figure. */
  const draw = (place, traces, layout) => {
    const {width, height} = place.getBoundingClientRect(), {margin} = layout, ratio = devicePixelRatio;
    const canvas = Object.assign(document.createElement("canvas"), {width: width * ratio, height: height * ratio, className: "first-look"});
    const brush = canvas.getContext("2d"), [[x0, x1], [y0, y1]] = [layout.xaxis.range, layout.yaxis.range];
    const wide = width - margin.l - margin.r, high = height - margin.t - margin.b;
    brush.scale(ratio, ratio);
    for (const trace of traces) {
      const {x, y, marker} = trace, colour = coloursOf(trace, layout);
      brush.globalAlpha = marker.opacity;
      for (let k = 0; k < x.length; k++) {
        const size = typeof marker.size === "number" ? marker.size : marker.size[k];
        const px = margin.l + ((x[k] - x0) / (x1 - x0)) * wide, py = margin.t + (1 - (y[k] - y0) / (y1 - y0)) * high;
        brush.fillStyle = colour(k) ?? "transparent";
        if (size < 6) { brush.fillRect(px - size / 2, py - size / 2, size, size); continue; }
        brush.beginPath();
        brush.arc(px, py, size / 2, 0, 7);
        brush.fill();
      }
    }
    place.replaceChildren(canvas);
  };

  window.aelleFirstLook = {draw};
})();
