// Live prices: one WebSocket per page feeds every [data-price] element, the price chart and the words on the feed's state.
"use strict";

(function () {
  const ACK_MS = 5000;
  const SILENCE_MS = 30000; // a socket that says nothing for this long is taken for dead
  const FIRST_RETRY_MS = 500;
  const LONGEST_RETRY_MS = 30000;
  const FINAL_CODES = { 4400: "refused by the desk", 4401: "sign in to see live prices" };

  const page = document.querySelector("[data-symbols]");
  const staleMs = Number(page?.dataset.staleMs || 5000);
  const ticks = new Map(); // symbol -> {bid, ask, last, tsMs, ageMs, at, direction}
  const feed = { socket: null, seq: null, attempts: 0, retryAt: null, heardAt: 0, ended: "", upstream: null };

  function isWanted() {
    return document.querySelector("[data-price], [data-chart='price']") !== null;
  }

  function isOpen() {
    return feed.socket !== null && feed.socket.readyState === WebSocket.OPEN;
  }

  function connect() {
    const scheme = window.location.protocol === "https:" ? "wss" : "ws";
    const symbols = encodeURIComponent(page.dataset.symbols);
    const socket = new WebSocket(`${scheme}://${window.location.host}/ws/prices/?symbols=${symbols}`);
    Object.assign(feed, { socket, seq: null, retryAt: null, heardAt: performance.now() });
    socket.addEventListener("message", (event) => hear(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => closed(socket, event.code));
  }

  function closed(socket, code) {
    if (socket !== feed.socket) return;
    feed.socket = null;
    feed.ended = FINAL_CODES[code] || "";
    if (!feed.ended) {
      // Full jitter: browsers that lost the desk together must not come back together.
      const ceiling = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** feed.attempts);
      const delay = Math.random() * ceiling;
      feed.attempts += 1;
      feed.retryAt = performance.now() + delay;
      window.setTimeout(connect, delay);
    }
    showState();
  }

  function hear(message) {
    feed.heardAt = performance.now();
    feed.attempts = 0;
    if (typeof message.seq === "number") feed.seq = message.seq;
    if (message.type === "snapshot" || message.type === "ticks") (message.ticks || []).forEach(take);
    if (message.type === "status") feed.upstream = message;
    if (message.type === "execution") {
      document.dispatchEvent(new CustomEvent("desk:execution", { detail: message.execution || message }));
    }
    showPrices();
    showState();
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
    if (feed.ended) return ["bad", feed.ended];
    if (!isOpen()) {
      const wait = feed.retryAt === null ? 0 : Math.max(0, Math.ceil((feed.retryAt - performance.now()) / 1000));
      const word = feed.attempts === 0 && ticks.size === 0 ? "connecting" : "disconnected";
      return word === "connecting" ? ["warn", word] : ["bad", `${word}, retrying${wait ? ` in ${wait} s` : ""}`];
    }
    if (ticks.size === 0) return ["warn", "waiting for the first price"];
    const youngest = Math.min(...[...ticks.values()].map(ageOf));
    if (feed.upstream?.connected === false) return ["bad", `exchange disconnected, ${window.desk.ageText(youngest)} old`];
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
    if (isOpen() && performance.now() - feed.heardAt > SILENCE_MS) feed.socket.close();
  }

  function acknowledge() {
    if (isOpen() && feed.seq !== null) feed.socket.send(JSON.stringify({ ack: feed.seq }));
  }

  if (!page || !isWanted()) return;
  document.addEventListener("desk:refreshed", beat);
  window.setInterval(beat, 1000);
  window.setInterval(acknowledge, ACK_MS);
  connect();
  showState();
})();
