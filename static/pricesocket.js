// The price socket: it connects, acknowledges, notices gaps and silence, and comes back. It knows no page.
"use strict";

(function () {
  const ACK_MS = 5000;
  const ACK_FRAMES = 32; // sooner than every five seconds when many come: the desk sends no more than 64 ahead
  const BEAT_MS = 1000;
  const OPEN_WITHIN_MS = 10000; // a network that swallows packets would keep an attempt hanging for minutes
  const SILENCE_MS = 30000; // a socket that says nothing for about this long is taken for dead
  const FIRST_RETRY_MS = 500;
  const LONGEST_RETRY_MS = 30000;
  const HEALTHY_MS = 60000; // a socket must have lived this long for the next retry to be quick again
  const GAP_RETRY_MS = 5000; // the desk loses messages for all browsers at once: they must not all ask at once
  const BAD_REQUEST = 4400;
  const NOT_ALLOWED = 4401;
  const FINAL_CODES = { [BAD_REQUEST]: "refused by the desk", [NOT_ALLOWED]: "sign in to see live prices" };
  const OPEN = 1;

  const browser = {
    open: (address) => new WebSocket(address),
    later: (action, ms) => window.setTimeout(action, ms),
    cancel: (timer) => window.clearTimeout(timer),
    now: () => performance.now(),
    random: () => Math.random(),
  };

  // Full jitter: browsers that lost the desk together must not come back together.
  function retryDelay(attempt, random) {
    return random * Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt);
  }

  // What all notice at the same moment must not make all act at the same moment.
  function spread(ms, random) {
    return ms * (0.5 + random);
  }

  class PriceSocket {
    // `on.message(message)` for each message, `on.change()` when the connection's state changed.
    constructor(address, on, world = browser) {
      Object.assign(this, { address, on, world, socket: null, timer: null, attempts: 0, retryAt: null, ended: "" });
      this.connect();
      this.beat();
    }

    get isOpen() {
      return this.socket !== null && this.socket.readyState === OPEN;
    }

    get retryInMs() {
      return this.retryAt === null ? 0 : Math.max(0, this.retryAt - this.world.now());
    }

    connect() {
      const now = this.world.now();
      const socket = this.world.open(this.address);
      Object.assign(this, { socket, timer: null, retryAt: null, seq: null, openedAt: null, startedAt: now, heardAt: now });
      Object.assign(this, { ackedSeq: 0, ackedAt: now });
      this.silenceMs = spread(SILENCE_MS, this.world.random());
      this.openWithinMs = spread(OPEN_WITHIN_MS, this.world.random());
      socket.addEventListener("message", (event) => {
        if (socket === this.socket) this.hear(JSON.parse(event.data));
      });
      socket.addEventListener("close", (event) => {
        if (socket === this.socket) this.lost(event.code);
      });
    }

    hear(message) {
      const now = this.world.now();
      this.heardAt = now;
      this.openedAt ??= now;
      if (now - this.openedAt >= HEALTHY_MS) this.attempts = 0;
      if (typeof message.seq === "number") this.count(message.seq);
      this.on.message(message);
    }

    count(seq) {
      const isGap = this.seq !== null && seq !== this.seq + 1;
      this.ackedSeq = this.seq === null ? seq - 1 : this.ackedSeq;
      this.seq = seq;
      // Timers of a hidden page hardly run, so what arrives drives the acknowledgements too.
      if (seq - this.ackedSeq >= ACK_FRAMES || this.world.now() - this.ackedAt >= ACK_MS) this.acknowledge();
      // What was missed is not sent again. A new connection begins with the whole picture.
      if (isGap && this.timer === null) this.reconnectIn(this.world.random() * GAP_RETRY_MS);
    }

    acknowledge() {
      if (!this.isOpen || this.seq === null) return;
      this.socket.send(JSON.stringify({ ack: this.seq }));
      Object.assign(this, { ackedSeq: this.seq, ackedAt: this.world.now() });
    }

    beat() {
      if (this.ended) return;
      const now = this.world.now();
      if (now - this.ackedAt >= ACK_MS) this.acknowledge();
      const isSilent = this.isOpen && now - this.heardAt > this.silenceMs;
      const isHanging = this.socket !== null && !this.isOpen && now - this.startedAt > this.openWithinMs;
      if (isSilent || isHanging) this.giveUp();
      this.world.later(() => this.beat(), BEAT_MS);
    }

    // Closing takes its time on a dead network, so its end is not waited for.
    giveUp() {
      const socket = this.socket;
      this.lost(null);
      socket.close();
    }

    lost(code) {
      this.socket = null;
      if (this.timer !== null) this.world.cancel(this.timer);
      this.timer = null;
      this.ended = FINAL_CODES[code] || "";
      if (!this.ended) this.reconnectIn(retryDelay(this.attempts++, this.world.random()));
      this.on.change();
    }

    reconnectIn(ms) {
      this.retryAt = this.world.now() + ms;
      this.timer = this.world.later(() => {
        const old = this.socket;
        this.connect();
        if (old !== null) old.close();
      }, ms);
    }
  }

  window.PriceSocket = PriceSocket;
})();
