/* Rings around the selected points of a map of very many. They lie on a canvas under the points, for plotly would
   lay out every point anew to move a ring; of few points plotly draws them itself. */
"use strict";
(() => {
  const canvasOf = (graph) => {
    const gl = graph.querySelector(".gl-container");
    if (!gl) return null;
    return gl.parentNode.querySelector(":scope > canvas.rings")
      ?? gl.parentNode.insertBefore(Object.assign(document.createElement("canvas"), {className: "rings"}), gl);
  };

  /** One ring, drawn once and stamped many times. */
  const stampOf = (colour, size, ratio) => {
    const stamp = Object.assign(document.createElement("canvas"), {width: Math.ceil(size * ratio), height: Math.ceil(size * ratio)});
    const brush = stamp.getContext("2d");
    brush.fillStyle = colour;
    brush.arc(stamp.width / 2, stamp.height / 2, stamp.width / 2, 0, 7);
    brush.fill();
    return stamp;
  };

  /** Draw rings, each {x, y, colour, size} in the map's coordinates, into the frame the map has now. */
  const draw = (graph, rings) => {
    const canvas = canvasOf(graph);
    if (!canvas) return;
    const {_size: size, xaxis, yaxis, width, height} = graph._fullLayout, ratio = devicePixelRatio;
    Object.assign(canvas, {width: width * ratio, height: height * ratio});
    Object.assign(canvas.style, {width: `${width}px`, height: `${height}px`});
    const brush = canvas.getContext("2d"), [x0, x1] = xaxis.range, [y0, y1] = yaxis.range;
    brush.beginPath();
    brush.rect(size.l * ratio, size.t * ratio, size.w * ratio, size.h * ratio);
    brush.clip();
    for (const ring of rings) {
      const stamp = stampOf(ring.colour, ring.size + 2, ratio), half = stamp.width / 2;
      for (let k = 0; k < ring.x.length; k++) {
        const px = size.l + ((ring.x[k] - x0) / (x1 - x0)) * size.w, py = size.t + (1 - (ring.y[k] - y0) / (y1 - y0)) * size.h;
        brush.drawImage(stamp, Math.round(px * ratio - half), Math.round(py * ratio - half));
      }
    }
  };

  window.aelleRings = {draw};
})();
