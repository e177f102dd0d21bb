"use strict";
(() => {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const name = () => { button.textContent = root.dataset.theme === "light" ? "Dark" : "Light"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
    name();
  });
  name();
})();
