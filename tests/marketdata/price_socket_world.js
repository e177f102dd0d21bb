// A world for the shipped price socket in which time is a number: a desk that can be away, and hundreds of browsers.
"use strict";

class World {
  constructor(seed) {
    Object.assign(this, { ms: 0, timers: [], ids: 0, state: seed >>> 0 });
  }
  now() { return this.ms; }
  random() { // mulberry32
    let t = (this.state = (this.state + 0x6d2b79f5) >>> 0);
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  later(action, ms) {
    const timer = { at: this.ms + ms, id: this.ids++, action };
    let low = 0;
    let high = this.timers.length;
    while (low < high) { // latest first, so that the next one is popped from the end
      const middle = (low + high) >> 1;
      const other = this.timers[middle];
      if (other.at > timer.at || (other.at === timer.at && other.id > timer.id)) low = middle + 1;
      else high = middle;
    }
    this.timers.splice(low, 0, timer);
    return timer;
  }
  cancel(timer) { timer.action = () => {}; }
  run(untilMs) {
    while (this.timers.length && this.timers[this.timers.length - 1].at <= untilMs) {
      const timer = this.timers.pop();
      this.ms = timer.at;
      timer.action();
    }
    this.ms = untilMs;
  }
}

// The desk's end of one connection.
class Line {
  constructor(desk) {
    Object.assign(this, { desk, readyState: 0, handlers: {}, sent: [], seq: 0, isFed: true });
  }
  addEventListener(kind, handler) { this.handlers[kind] = handler; }
  send(text) { this.sent.push({ at: this.desk.world.now(), ...JSON.parse(text) }); }
  close() { this.end(1005); }
  end(code) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.desk.lines.delete(this);
    this.desk.world.later(() => this.handlers.close?.({ code }), 1);
  }
  accept() {
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.desk.accepted.push(this.desk.world.now());
    this.say({ type: "snapshot", ticks: [] });
    this.feed();
  }
  feed() {
    this.desk.world.later(() => {
      if (this.readyState !== 1) return;
      if (this.isFed && this.desk.mode === "up") this.say({ type: "ticks", ticks: [] });
      this.feed();
    }, this.desk.frameMs);
  }
  say(message) {
    this.seq += 1;
    this.handlers.message?.({ data: JSON.stringify({ seq: this.seq, ...message }) });
  }
}

class Desk {
  constructor(world, frameMs = 1000) {
    Object.assign(this, { world, frameMs, mode: "up", lines: new Set(), attempts: [], accepted: [] });
  }
  open() {
    const line = new Line(this);
    this.attempts.push(this.world.now());
    this.lines.add(line);
    if (this.mode === "up") this.world.later(() => line.accept(), 20);
    if (this.mode === "refusing") this.world.later(() => line.end(1006), 5);
    return line; // a swallowing network answers nothing
  }
  outage(kind) {
    this.mode = kind;
    if (kind === "refusing") for (const line of [...this.lines]) line.end(1006);
  }
}

function browserOf(world, desk, messages = []) {
  const on = { message: (message) => messages.push(message), change: () => {} };
  const reach = { open: () => desk.open(), later: (f, ms) => world.later(f, ms), cancel: (t) => world.cancel(t) };
  return new window.PriceSocket("ws://desk", on, { ...reach, now: () => world.now(), random: () => world.random() });
}

// The largest number of these moments, ascending, in any stretch of so many milliseconds.
function mostWithin(ms, moments) {
  let most = 0;
  for (let first = 0, last = 0; last < moments.length; last += 1) {
    while (moments[last] - moments[first] >= ms) first += 1;
    most = Math.max(most, last - first + 1);
  }
  return most;
}

// All browsers lose the desk for `outageMs`; when do they come back?
function storm({ browsers, outageMs, kind, seed }) {
  const world = new World(seed);
  const desk = new Desk(world, 4000);
  const fleet = Array.from({ length: browsers }, () => browserOf(world, desk));
  world.run(10000);
  const backAt = world.now() + outageMs;
  desk.outage(kind);
  world.run(backAt);
  desk.mode = "up";
  desk.accepted = [];
  desk.attempts = [];
  world.run(backAt + 70000);
  return {
    back: fleet.filter((socket) => socket.isOpen).length,
    peakShare: mostWithin(1000, desk.attempts) / browsers,
    lastBackS: (Math.max(...desk.accepted) - backAt) / 1000,
  };
}
