// Live prices: one WebSocket per page feeds every [data-price] element, the price chart and the words on the feed's state.
"use strict";

(function () {
  const page = document.querySelector("[data-symbols]");
  const staleMs = Number(page?.dataset.staleMs || 5000);
  const ticks = new Map(); // symbol -> {bid, ask, last, tsMs, ageMs, at, direction}
  let socket = null;
  let upstream = null; // what the desk last said of the exchange

  function isWanted() {
    return document.querySelector("[data-price], [data-chart='price']") !== null;
  }

  function isOpen() {
    return socket !== null && socket.isOpen;
  }

  function connect() {
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    const symbols = encodeURIComponent(page.dataset.symbols);
    const address = `${scheme}://${window.location.host}/ws/prices/?symbols=${symbols}`;
    socket = new window.PriceSocket(address, { message: hear, change: showState });
  }

  function hear(message) {
    if (message.type === "snapshot" || message.type === "ticks") (message.ticks || []).forEach(take);
    if (message.type === "status") upstream = message;
    if (message.type === "snapshot" && message.status) upstream = message.status;
    if (message.type === "execution") announce(message.execution || message);
    if (message.type === "fill") message.fills.forEach((fill) => announce({ ...message, ...fill, fillPrice: fill.price }));
    showPrices();
    showState();
  }

  function announce(detail) {
    document.dispatchEvent(new CustomEvent("desk:execution", { detail }));
  }

  function take(tick) {
    const before = ticks.get(tick.symbol);
    const change = before ? Number(tick.last) - Number(before.last) : 0;
    const direction = change > 0 ? "up" : change < 0 ? "down" : before?.direction || "flat";
    const seen = { ...tick, tsMs: Date.parse(tick.ts), at: performance.now(), direction };
    ticks.set(tick.symbol, seen);
    document.dispatchEvent(new CustomEvent("desk:tick", { detail: seen }));
  }

  function ageOf(tick) {
    return tick.ageMs + (performance.now() - tick.at);
  }

  // Prices keep their width while they change: as many decimals as the symbol has shown so far.
  const places = new Map();
  function priceText(symbol, text) {
    const [whole, digits = ""] = String(text).split(".");
    const width = Math.max(places.get(symbol) || 2, digits.length);
    places.set(symbol, width);
    return `${whole.replace(/\B(?=(\d{3})+$)/g, ",")}.${digits.padEnd(width, "0")}`;
  }

  function show(element, tick) {
    const field = element.dataset.field;
    if (field === "age") {
      window.desk.setText(element, isOpen() ? window.desk.ageText(ageOf(tick)) : "disconnected");
      element.classList.toggle("is-stale", !isOpen() || ageOf(tick) > staleMs);
      return;
    }
    if (tick[field] === undefined || tick[field] === null) return;
    window.desk.setText(element, priceText(tick.symbol, tick[field]));
    if (field === "last") element.dataset.direction = tick.direction;
  }

  // While connected the socket knows better than the five-second refresh; without it the page's own values stand.
  function showPrices() {
    for (const element of document.querySelectorAll("[data-price]")) {
      const tick = ticks.get(element.dataset.price);
      if (tick && (isOpen() || element.dataset.field === "age")) show(element, tick);
    }
  }

  function stateOf() {
    if (socket?.ended) return ["bad", socket.ended];
    if (!isOpen()) {
      const wait = Math.ceil((socket?.retryInMs ?? 0) / 1000);
      const isFirst = ticks.size === 0 && !socket?.attempts;
      const word = isFirst ? "connecting" : "disconnected";
      return word === "connecting" ? ["warn", word] : ["bad", `${word}, retrying${wait ? ` in ${wait} s` : ""}`];
    }
    if (ticks.size === 0) return ["warn", "waiting for the first price"];
    const youngest = Math.min(...[...ticks.values()].map(ageOf));
    if (upstream?.connected === false) return ["bad", `exchange disconnected, ${window.desk.ageText(youngest)} old`];
    return youngest > staleMs ? ["bad", `stale, ${window.desk.ageText(youngest)} old`] : ["good", "live"];
  }

  function showState() {
    const [tone, text] = stateOf();
    for (const element of document.querySelectorAll("[data-feed-state]")) {
      element.hidden = false;
      for (const name of ["good", "warn", "bad"]) element.classList.toggle(name, name === tone);
      window.desk.setText(element, `Prices ${text}`);
    }
  }

  function beat() {
    showPrices();
    showState();
  }

  if (!page || !isWanted()) return;
  document.addEventListener("desk:refreshed", beat);
  window.setInterval(beat, 1000);
  connect();
  showState();
})();
