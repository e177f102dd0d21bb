// The candle chart of a price card: history from the API, the running candle from the ticks, marks where the desk traded.
"use strict";

(function () {
  const { kinds, color, frame, grouped } = window.deskCharts;
  const CANDLES = 240;
  const RELOAD_MS = 5000; // a fast market closes candles faster than it is polite to ask for them
  const INTERVALS_S = { "1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "4h": 14400, "1d": 86400 };

  // The newest tick of each symbol: a chart whose candles arrive after it must still show it.
  const newest = new Map();
  document.addEventListener("desk:tick", ({ detail: tick }) => newest.set(tick.symbol, tick));

  function candleOf(row) {
    return { time: Date.parse(row.openTime) / 1000, open: row.open, high: row.high, low: row.low, close: row.close };
  }

  function decimals(candles) {
    const longest = candles.slice(-20).map((candle) => (String(candle.close).split(".")[1] || "").length);
    return Math.min(8, Math.max(2, ...longest));
  }

  function price(element) {
    const chart = window.LightweightCharts.createChart(element, frame());
    const series = chart.addSeries(window.LightweightCharts.CandlestickSeries, {});
    const markers = window.LightweightCharts.createSeriesMarkers(series, []);
    const state = { symbol: null, running: null, askedAt: -RELOAD_MS, trades: [], firstTime: 0 };
    const spanS = () => INTERVALS_S[element.dataset.interval] || 60;

    function paint() {
      const [up, down] = [color("up"), color("down")];
      chart.applyOptions(frame());
      series.applyOptions({ upColor: "transparent", downColor: down, borderUpColor: up, borderDownColor: down });
      series.applyOptions({ wickUpColor: up, wickDownColor: down, priceLineColor: color("muted") });
      mark();
    }

    async function load() {
      const symbol = element.dataset.symbol;
      state.askedAt = performance.now();
      const query = new URLSearchParams({ symbol, interval: element.dataset.interval || "1m", limit: String(CANDLES) });
      const answer = await fetch(`/api/market/ohlcv?${query}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) return say(`No candles: the desk answered ${answer.status}.`);
      const candles = (await answer.json()).map(candleOf);
      if (symbol !== element.dataset.symbol) return undefined;
      return fill(symbol, candles);
    }

    function fill(symbol, candles) {
      const last = candles[candles.length - 1];
      const places = decimals(candles);
      const isOther = state.symbol !== symbol;
      if (isOther) state.running = null;
      series.applyOptions({ priceFormat: { type: "price", precision: places, minMove: 10 ** -places } });
      chart.applyOptions({ localization: { priceFormatter: grouped(places) } });
      series.setData(candles);
      // The API may not have the running candle yet; what the ticks have drawn of it stays.
      if (state.running && last && state.running.time > last.time) series.update(state.running);
      else state.running = last || null;
      Object.assign(state, { symbol, firstTime: candles.length ? candles[0].time : 0 });
      say(candles.length ? "" : "No candles are stored yet.");
      if (isOther) chart.timeScale().setVisibleLogicalRange({ from: candles.length - 90, to: candles.length + 2 });
      mark();
      if (newest.has(symbol)) follow(newest.get(symbol));
    }

    function say(text) {
      const note = element.parentElement.querySelector("[data-chart-note]");
      if (note) window.desk.setText(note, text);
    }

    function reload() {
      load().catch((error) => say(`No candles: ${error.message}.`));
    }

    function feed() {
      if (state.symbol !== element.dataset.symbol && performance.now() - state.askedAt > 1000) reload();
    }

    function follow(tick) {
      if (tick.symbol !== state.symbol || !Number.isFinite(tick.tsMs)) return;
      const last = Number(tick.last);
      const time = Math.floor(tick.tsMs / 1000 / spanS()) * spanS();
      if (state.running && time < state.running.time) return;
      const isNew = !state.running || time > state.running.time;
      const from = isNew ? { time, open: last, high: last, low: last } : state.running;
      state.running = { ...from, high: Math.max(from.high, last), low: Math.min(from.low, last), close: last };
      series.update(state.running);
      // Ticks are conflated: once a candle has closed, the API knows its true high and low.
      if (isNew && performance.now() - state.askedAt > RELOAD_MS) reload();
    }

    function onExecution({ detail: record }) {
      if (!record.side || !record.fillPrice) return;
      state.trades = [...state.trades.slice(-199), record];
      mark();
    }

    function mark() {
      const shown = state.trades.filter((record) => record.symbol === state.symbol);
      markers.setMarkers(shown.map((record) => markOf(record, spanS())).filter((entry) => entry.time >= state.firstTime));
    }

    const listening = new AbortController();
    const { signal } = listening;
    document.addEventListener("desk:tick", (event) => follow(event.detail), { signal });
    document.addEventListener("desk:execution", onExecution, { signal });
    element.addEventListener("desk:symbol", () => { state.askedAt = -RELOAD_MS; feed(); }, { signal });
    return { chart, paint, feed, dispose: () => listening.abort() };
  }

  function markOf(record, spanS) {
    const isBuy = record.side.toLowerCase() === "buy";
    return {
      time: Math.floor(Date.parse(record.ts) / 1000 / spanS) * spanS,
      position: isBuy ? "belowBar" : "aboveBar",
      shape: isBuy ? "arrowUp" : "arrowDown",
      color: color(isBuy ? "up" : "down"),
      text: isBuy ? "Buy" : "Sell",
      size: 1,
    };
  }

  // Buttons with data-show-symbol choose what the page's price chart shows; the choice survives each refresh.
  function choose(symbol) {
    for (const element of document.querySelectorAll("[data-chart='price']")) {
      if (element.dataset.symbol === symbol) continue;
      element.dataset.symbol = symbol;
      element.dispatchEvent(new Event("desk:symbol"));
    }
    showChoice();
  }

  function showChoice() {
    const shown = document.querySelector("[data-chart='price']")?.dataset.symbol;
    for (const button of document.querySelectorAll("[data-show-symbol]")) {
      button.setAttribute("aria-pressed", String(button.dataset.showSymbol === shown));
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-show-symbol]");
    if (button) choose(button.dataset.showSymbol);
  });
  document.addEventListener("desk:refreshed", showChoice);
  document.addEventListener("DOMContentLoaded", showChoice);
  kinds.price = price;
})();
