// The page's frame: ages that tick, the banner when nothing arrives, the market clock, and what a morph must not touch.
"use strict";

(function () {
  const STALE_MS = 12000; // two refreshes missed
  const beat = { serverMs: 0, at: performance.now(), build: null };
  let failure = null; // what the last refresh said, null when it succeeded

  function readBeat() {
    const element = document.getElementById("desk-beat");
    if (!element) return;
    beat.serverMs = Number(element.dataset.nowMs);
    beat.at = performance.now();
    if (beat.build === null) beat.build = element.dataset.build;
    beat.isOutdated = beat.build !== element.dataset.build;
  }

  function sinceBeat() {
    return performance.now() - beat.at;
  }

  function ageText(ms) {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
  }

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  function showCardAges() {
    for (const card of document.querySelectorAll(".card[data-rendered-ms]")) {
      const label = card.querySelector("[data-age]");
      if (!label) continue;
      const age = beat.serverMs - Number(card.dataset.renderedMs) + sinceBeat();
      const isStale = age > STALE_MS;
      card.classList.toggle("is-stale", isStale);
      setText(label, isStale ? `stale, updated ${ageText(age)} ago` : `updated ${ageText(age)} ago`);
    }
  }

  function showClock() {
    const clock = document.getElementById("desk-clock");
    if (!clock || !clock.dataset.nowMs) return;
    const elapsed = beat.serverMs - Number(clock.dataset.renderedMs) + Math.min(sinceBeat(), STALE_MS);
    const now = Number(clock.dataset.nowMs) + elapsed * Number(clock.dataset.speed);
    setText(clock.querySelector("[data-clock]"), `${new Date(now).toISOString().slice(11, 19)} UTC`);
    clock.classList.toggle("is-stale", sinceBeat() > STALE_MS);
  }

  function bannerText() {
    if (failure === 401 || failure === 403) return "You are signed out. Reload this page to sign in.";
    if (failure !== null || sinceBeat() > STALE_MS) {
      const reason = typeof failure === "number" ? `the desk answered ${failure}` : "the desk does not answer";
      return `Connection lost: ${reason}. What you see is ${ageText(sinceBeat())} old. Trying again every 5 s.`;
    }
    return beat.isOutdated ? "The desk was updated. Reload this page to see it as it is now." : "";
  }

  function showBanner() {
    const banner = document.getElementById("connection");
    if (!banner || !document.getElementById("desk-poll")) return;
    // The age in the text changes each second; only a new kind of trouble should be read aloud.
    const text = bannerText();
    banner.hidden = text === "";
    banner.setAttribute("aria-live", banner.dataset.kind === String(failure) ? "off" : "assertive");
    banner.dataset.kind = String(failure);
    setText(banner, text);
    document.body.classList.toggle("is-disconnected", text.startsWith("Connection lost"));
  }

  function tick() {
    showCardAges();
    showClock();
    showBanner();
  }

  function afterRefresh(event) {
    if (event.detail.elt.id !== "desk-poll") return;
    const status = event.detail.xhr.status;
    failure = event.detail.successful ? null : status || "network";
    if (event.detail.successful) readBeat();
    document.dispatchEvent(new CustomEvent("desk:refreshed"));
    tick();
  }

  // Charts keep their canvas and take only new data; what a viewer unfolded stays unfolded; live prices stay live.
  function keepOnMorph() {
    if (!window.Idiomorph) return;
    Object.assign(window.Idiomorph.defaults.callbacks, {
      beforeNodeMorphed(node, next) {
        if (!(node instanceof Element) || !(next instanceof Element)) return true;
        if (node.hasAttribute("data-live")) return false;
        if (!node.hasAttribute("data-chart") || !next.hasAttribute("data-chart")) return true;
        for (const name of ["data-points", "data-interval", "aria-label"]) {
          if (next.hasAttribute(name)) node.setAttribute(name, next.getAttribute(name));
        }
        return false;
      },
      beforeAttributeUpdated(name, node) {
        return !(name === "open" && node instanceof HTMLDetailsElement);
      },
    });
  }

  function showTheme() {
    const button = document.getElementById("theme-toggle");
    const other = document.documentElement.dataset.theme === "light" ? "dark" : "light";
    if (button) button.setAttribute("aria-label", `Switch to ${other} colors`);
  }

  document.getElementById("theme-toggle")?.addEventListener("click", () => window.deskTheme.toggle());
  document.addEventListener("desk:theme", showTheme);
  document.body.addEventListener("htmx:afterRequest", afterRefresh);
  window.desk = { ageText, setText };
  keepOnMorph();
  readBeat();
  showTheme();
  tick();
  window.setInterval(tick, 1000);
})();
