/* What the page does by itself: its theme and display, its link, playing the epochs, counting what is selected. */
"use strict";
(() => {
  const unchanged = () => window.dash_clientside.no_update;

  window.dash_clientside = Object.assign({}, window.dash_clientside, {page: {
    theme: (clicks, search) => {
      const asked = new URLSearchParams(search).get("theme"), now = document.documentElement.dataset.theme;
      const chosen = clicks ? (now === "dark" ? "light" : "dark")
        : asked ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      document.documentElement.dataset.theme = chosen === "dark" ? "dark" : "light";
      return [chosen, chosen === "dark" ? "Light" : "Dark"];
    },
    display: (clicks, search) => {
      const root = document.documentElement.dataset, asked = new URLSearchParams(search).get("display");
      root.display = clicks ? (root.display === "projector" ? "laptop" : "projector")
        : asked === "projector" ? "projector" : "laptop";
      if (clicks) window.aelleFigures.redraw();
      return [root.display === "projector" ? root.display : null, root.display === "projector" ? "Smaller" : "Larger"];
    },
    link: (link) => {
      history.replaceState(null, "", link ? "?" + link : location.pathname);
      return "";
    },
    copy: async (clicks) => {
      if (!clicks) return unchanged();
      try { await navigator.clipboard.writeText(location.href); } catch { return "Copy the address bar"; }
      setTimeout(() => window.dash_clientside.set_props("copy", {children: "Copy link"}), 1600);
      return "Copied";
    },
    play: (clicks, still, place, last) => {
      if (!clicks) return [true, "Play", unchanged()];
      return still ? [false, "Pause", place >= last ? 0 : unchanged()] : [true, "Play", unchanged()];
    },
    tick: (ticks, place, last) => {
      if (!ticks || place >= last) return [unchanged(), true, "Play"];
      const done = place + 1 >= last;
      return [place + 1, done, done ? "Play" : "Pause"];
    },
    /** Only a full page has what is updated; a pulse that says nothing new updates nothing. */
    renewed: (pulse, version) => (pulse === null || pulse === version ? unchanged() : pulse),
    clear: (clicks) => (clicks ? {a: [], b: []} : unchanged()),
    count: (selection) => {
      const parts = ["a", "b"].filter((k) => selection[k].length).map((k) => `${k.toUpperCase()}: ${selection[k].length}`);
      return parts.length ? parts.join(" · ") : "Draw around points";
    },
    /** A first selection moves on from a single network to the view of groups. */
    compare: (selection, tab) =>
      (selection.a.length || selection.b.length) && tab === "network" ? "selection" : unchanged(),
  }});
})();
