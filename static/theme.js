// Runs before the first paint: the viewer's own choice, else what the system asks for, else dark.
"use strict";

(function () {
  const KEY = "tradedesk-theme";
  const system = window.matchMedia("(prefers-color-scheme: light)");

  function chosen() {
    try {
      return window.localStorage.getItem(KEY);
    } catch (error) {
      return null; // storage may be forbidden; the system's wish still works
    }
  }

  function apply() {
    const choice = chosen();
    const theme = choice === "light" || choice === "dark" ? choice : system.matches ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("desk:theme", { detail: { theme } }));
  }

  function toggle() {
    const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    try {
      window.localStorage.setItem(KEY, next);
    } catch (error) {
      document.documentElement.dataset.theme = next; // not remembered, but still switched
      document.dispatchEvent(new CustomEvent("desk:theme", { detail: { theme: next } }));
      return;
    }
    apply();
  }

  system.addEventListener("change", apply);
  window.deskTheme = { toggle };
  apply();
})();
