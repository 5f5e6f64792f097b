/* What the page does by itself: its theme and display, its link, playing the epochs, counting what is selected. */
"use strict";
(() => {
  const unchanged = () => window.dash_clientside.no_update;

  /* Whether the server still answers: said where it does not, and taken back once it does again. */
  const answered = (does) => {
    const line = document.getElementById("gone");
    if (!line || line.hidden === does) return;
    line.hidden = does;
    line.textContent = does ? "" : "The server of this page has gone; nothing here changes any more. Start aelle explore again, and the page goes on.";
  };
  const fetched = window.fetch;
  window.fetch = async (...asked) => {
    try {
      const answer = await fetched(...asked);
      answered(true);
      return answer;
    } catch (error) {
      if (error.name !== "AbortError") answered(false);
      throw error;
    }
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {page: {
    /** The theme is the reader's: what was chosen here before, else what the system says; links do not carry it. */
    theme: (clicks, search) => {
      const asked = new URLSearchParams(search).get("theme"), now = document.documentElement.dataset.theme;
      const kept = globalThis.localStorage?.getItem("aelle-theme");
      const chosen = clicks ? (now === "dark" ? "light" : "dark")
        : asked ?? kept ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
      if (clicks) globalThis.localStorage?.setItem("aelle-theme", chosen);
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
    /** The address follows the view: Back leads to the view before. The first is the one that was opened. */
    link: (() => {
      let first = true;
      return (link) => {
        const address = "?" + link;
        if (address !== location.search) history[first ? "replaceState" : "pushState"](null, "", address);
        first = false;
        return "";
      };
    })(),
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
    /** What places the points, in one: a change of it is one request. */
    projection: (method, dimensions, x, y, log, known) => {
      const columns = method === "columns", now = {method, dimensions: columns ? "2" : dimensions, x, y, log: (log ?? []).join("")};
      return [JSON.stringify(now) === JSON.stringify(known) ? unchanged() : now, columns, !columns];
    },
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
