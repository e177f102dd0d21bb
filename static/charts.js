// Draws every [data-chart] of the page with lightweight-charts and feeds it again after each refresh.
"use strict";

(function () {
  const drawn = new Map(); // element -> {chart, kind, feed(), paint()}
  const kinds = {};

  // Custom properties hold light-dark(); only a computed color is resolved to the theme in force.
  function color(name) {
    const probe = document.createElement("span");
    probe.className = `probe-${name}`;
    document.body.append(probe);
    const resolved = getComputedStyle(probe).color;
    probe.remove();
    return resolved;
  }

  function frame() {
    return {
      autoSize: true,
      layout: {
        attributionLogo: false, // it would inject an inline style; the footer names TradingView instead
        background: { type: "solid", color: "transparent" },
        textColor: color("muted"),
        fontFamily: getComputedStyle(document.body).fontFamily,
        fontSize: 11,
      },
      grid: { vertLines: { color: color("grid") }, horzLines: { color: color("grid") } },
      rightPriceScale: { borderColor: color("line"), scaleMargins: { top: 0.1, bottom: 0.08 }, entireTextOnly: true },
      timeScale: { borderColor: color("line"), timeVisible: true, secondsVisible: false, rightOffset: 4 },
      crosshair: { mode: 0 },
      handleScroll: { mouseWheel: false, vertTouchDrag: false },
      handleScale: { mouseWheel: false },
    };
  }

  function grouped(places) {
    const format = new Intl.NumberFormat("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
    return (value) => format.format(value);
  }

  function equity(element) {
    const chart = window.LightweightCharts.createChart(element, frame());
    chart.applyOptions({ localization: { priceFormatter: grouped(0) } });
    const Line = window.LightweightCharts.LineSeries;
    const desk = chart.addSeries(Line, { lineWidth: 2, priceLineVisible: false });
    const hold = chart.addSeries(Line, { lineWidth: 1, lineStyle: 2, priceLineVisible: false, lastValueVisible: false });
    let shown = null;
    return {
      chart,
      paint() {
        chart.applyOptions(frame());
        desk.applyOptions({ color: color("link") });
        hold.applyOptions({ color: color("muted") });
      },
      feed() {
        const text = element.dataset.points || "[]";
        if (text === shown) return;
        const points = JSON.parse(text);
        desk.setData(points.map(([time, value]) => ({ time, value })));
        hold.setData(points.map(([time, , value]) => (value === null ? { time } : { time, value })));
        if (shown === null || shown === "[]") chart.timeScale().fitContent();
        shown = text;
      },
    };
  }

  function draw(element) {
    const make = kinds[element.dataset.chart];
    if (!make || !window.LightweightCharts) return;
    const entry = make(element);
    entry.paint();
    drawn.set(element, entry);
  }

  function refresh() {
    for (const [element, entry] of drawn) {
      if (element.isConnected) continue;
      entry.dispose?.();
      entry.chart.remove();
      drawn.delete(element);
    }
    for (const element of document.querySelectorAll("[data-chart]")) {
      if (!drawn.has(element)) draw(element);
      drawn.get(element)?.feed();
    }
  }

  kinds.equity = equity;
  window.deskCharts = { kinds, color, frame, grouped, refresh };
  document.addEventListener("desk:refreshed", refresh);
  document.addEventListener("desk:theme", () => drawn.forEach((entry) => entry.paint()));
  document.addEventListener("DOMContentLoaded", refresh);
})();
