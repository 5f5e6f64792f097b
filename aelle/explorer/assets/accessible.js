/* Dash's widgets get the roles and names that readers of screens need: its radio buttons call themselves options of a
   list, its sliders have no name, and its menus hide a field that Tab still reaches. */
"use strict";
(() => {
  const nameOf = (part) => part.closest(".control")?.querySelector("label, .label")?.textContent.trim()
    || (part.classList.contains("tabs") ? "Views" : "");

  const mend = () => {
    for (const list of document.querySelectorAll(".dash-options-list.choice")) {
      list.setAttribute("role", list.classList.contains("dash-checklist") || list.querySelector("[type=checkbox]") ? "group" : "radiogroup");
      list.setAttribute("aria-label", nameOf(list));
      for (const label of list.querySelectorAll("label")) for (const name of ["role", "aria-selected"]) label.removeAttribute(name);
    }
    for (const field of document.querySelectorAll(".dash-dropdown-focus-target")) {
      const button = field.parentElement.querySelector("button.dash-dropdown"), label = field.closest(".control")?.querySelector("label");
      if (!button) continue;
      [field.tabIndex, button.tabIndex] = [-1, 0];
      const names = button.getAttribute("aria-labelledby") ?? "";
      if (label && !names.startsWith(`${button.id}-label`)) {
        label.id = `${button.id}-label`;
        button.setAttribute("aria-labelledby", `${label.id} ${names}`);
      }
    }
    for (const slider of document.querySelectorAll("[role=slider]:not([aria-label])")) slider.setAttribute("aria-label", nameOf(slider));
  };

  let asked = false;
  const soon = () => { if (!asked) { asked = true; requestAnimationFrame(() => { asked = false; mend(); }); } };
  const watched = {childList: true, subtree: true, attributes: true, attributeFilter: ["aria-selected"]};
  addEventListener("DOMContentLoaded", () => new MutationObserver(soon).observe(document.body, watched));
})();
