"""How do frames get from the wire to the stream? Straight from the transport, so that no consumer holds up a pong.

The library answers each ping while it reads, before anything else runs. Frames do not wait in its queue for a task to
fetch them: whoever listens takes them at once, and reading never pauses.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event

from apps.marketdata.exchange.binance import is_loopback

CLOSE_S = 1.0
TEXT, PING = Opcode.TEXT, Opcode.PING  # looking up a member costs as much as parsing a number
MAX_MESSAGE_BYTES = 1_048_576  # a longer one ends the connection


class FrameListener(Protocol):
    """Who hears a connection. None of these may block or raise."""

    def socket_reads(self) -> None:
        """Bytes arrived; what they hold is told next."""

    def socket_opened(self, conn: int) -> None: ...

    def socket_frame(self, conn: int, data: Any) -> None: ...

    def socket_pinged(self, conn: int, payload: bytes) -> None:
        """The server pinged, and the library has sent the pong."""


class StreamSocket(ClientConnection):
    """A WebSocket that hands over each message as it is read."""

    def __init__(self, *args: Any, listener: FrameListener, conn: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listener = listener
        self._conn = conn
        self._parts: list[bytes] = []  # of a message in several frames; the library bounds its length

    def data_received(self, data: bytes) -> None:
        self._listener.socket_reads()
        super().data_received(data)

    def process_event(self, event: Event) -> None:
        if isinstance(event, Frame):
            # The common case first: a message in one frame.
            if event.opcode is TEXT and event.fin and not self._parts:
                self._listener.socket_frame(self._conn, bytes(event.data))
            else:
                self._take(event)
        elif isinstance(event, Response):
            super().process_event(event)
            if self.protocol.handshake_exc is None:
                self._listener.socket_opened(self._conn)

    def _take(self, frame: Frame) -> None:
        if frame.opcode is PING:
            self._listener.socket_pinged(self._conn, bytes(frame.data))
        elif frame.opcode in DATA_OPCODES:
            self._parts.append(bytes(frame.data))
            if frame.fin:
                message, self._parts = b"".join(self._parts), []
                self._listener.socket_frame(self._conn, message)


def open_socket(url: str, conn: int, listener: FrameListener, *, timeout_s: float) -> connect:
    """The connection, to be awaited. Silence is the stream's to judge, so the library sends no pings of its own."""
    return connect(
        url,
        create_connection=partial(StreamSocket, listener=listener, conn=conn),  # type: ignore[arg-type]
        compression=None,
        open_timeout=timeout_s,
        ping_interval=None,
        close_timeout=CLOSE_S,
        max_size=MAX_MESSAGE_BYTES,
        proxy=None if is_loopback(url) else True,
    )
