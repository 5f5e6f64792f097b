/* Which views are asked of the server, and when: only what is seen, only what changed. */
"use strict";
(() => {
  const NAMES = ["tab", "selection", "filters", "epoch", "theme", "version", "focus", "colour", "scale", "method", "table"];
  const WANTED = {
    network: ["focus", "theme", "version"],
    selection: ["selection", "filters", "epoch", "theme", "version", "scale"],
    special: ["selection", "filters", "epoch", "theme", "version"],
    parallel: ["selection", "filters", "epoch", "theme", "version"],
    table: ["selection", "filters", "epoch", "version", "colour", "table"],
    prediction: ["selection", "epoch", "theme", "version", "method"],
    walk: ["focus", "epoch", "theme", "version"],
  };
  const same = (one, other) => one === other || (typeof one !== "object" && Object.is(one, other));

  window.dash_clientside = Object.assign({}, window.dash_clientside, {views: {
    tab: (tab) => {
      setTimeout(() => window.aelleFigures.shown(tab), 0);
      return Object.keys(WANTED).map((view) => view !== tab);
    },
    /** One request for the view that is seen, if anything it shows has changed. */
    ask: (...values) => {
      const now = Object.fromEntries(NAMES.map((name, k) => [name, values[k] ?? null])), asked = values.slice(NAMES.length);
      return Object.keys(WANTED).map((view, k) => {
        if (view !== now.tab || !now.theme) return window.dash_clientside.no_update;
        const wanted = Object.fromEntries(WANTED[view].map((name) => [name, now[name]]));
        const known = asked[k] && Object.keys(wanted).every((name) => same(wanted[name], asked[k][name]));
        return known ? window.dash_clientside.no_update : wanted;
      });
    },
    /** The link is written once things have come to rest. */
    later: (() => {
      let timer = null;
      return (...values) => {
        clearTimeout(timer);
        timer = setTimeout(() => window.dash_clientside.set_props("link-ask", {data: values}), 400);
      };
    })(),
  }});
})();
