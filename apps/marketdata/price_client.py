"""What has one browser been sent, and what does it say it has seen?

The transport tells nothing of a stalled reader: what is written to it piles up in memory, unseen. So the browser
acknowledges, and what is written ahead of its acknowledgements is bounded here, in frames and in bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

from apps.marketdata.wire import Frame

BAD_REQUEST, NOT_ALLOWED, NO_ACK, TOO_SLOW, FAILED = 4400, 4401, 4408, 4409, 4500
ACK_WITHIN_S = 15.0
UNSEEN_FRAMES = 64
UNSEEN_BYTES = 256 * 1024
ACKS_PER_S = 10  # a page sends one every few seconds
TICKS_SHARE = 0.5  # prices stop at half the bytes: they can wait, and must not cost a message its place
NEVER = -1


class PriceClient:
    """One browser as the fan-out sees it. Used on its event loop alone."""

    def __init__(
        self,
        symbols: tuple[str, ...],
        *,
        send: Callable[[str], Awaitable[None]],
        close: Callable[[int], Awaitable[None]],
        now_s: float,
    ) -> None:
        self.symbols = symbols
        self.close = close
        self.served_beat = NEVER  # the last beat whose prices it was sent
        self.changes_seen = 0  # changes of its symbols up to then
        self.seq = self.acked = 0
        self._send = send
        self._acked_at_s = now_s
        self._second, self._n_in_second = 0, 0
        self._unseen: deque[int] = deque()
        self._unseen_bytes = 0

    @property
    def is_behind(self) -> bool:
        """Whether it has so much unseen that prices wait, to be sent as they are later."""
        return len(self._unseen) >= UNSEEN_FRAMES or self._unseen_bytes >= UNSEEN_BYTES * TICKS_SHARE

    def is_silent(self, now_s: float) -> bool:
        """Whether its last acknowledgement is too long ago."""
        return now_s - self._acked_at_s > ACK_WITHIN_S

    def has_room(self, frame: Frame) -> bool:
        """Whether this frame may be written without passing the bound."""
        return self._unseen_bytes + frame.n_bytes <= UNSEEN_BYTES

    async def write(self, frame: Frame) -> None:
        """Number a frame and write it."""
        self.seq += 1
        self._unseen.append(frame.n_bytes)
        self._unseen_bytes += frame.n_bytes
        await self._send(f'{{"seq":{self.seq}{frame.tail}')

    def skip(self, n_frames: int) -> None:
        """Leave numbers out, so that the browser notices that it missed something."""
        self.seq += n_frames
        self._unseen.extend([0] * n_frames)

    def acknowledge(self, seq: int, now_s: float) -> bool:
        """The browser has seen everything up to `seq`; False when that cannot be, or is said far too often."""
        if int(now_s) != self._second:
            self._second, self._n_in_second = int(now_s), 0
        self._n_in_second += 1
        if not self.acked <= seq <= self.seq or self._n_in_second > ACKS_PER_S:
            return False
        for _ in range(seq - self.acked):
            self._unseen_bytes -= self._unseen.popleft()
        self.acked, self._acked_at_s = seq, now_s
        return True
