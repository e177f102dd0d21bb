"""How does a frame leave this server? By a short way, and never into a pile.

Autobahn words a log line for every frame, shown or not, which costs more than the frame. And neither it nor daphne
bounds what waits for a peer that has stopped reading: acknowledgements do that for an honest one, this for any.
"""

from __future__ import annotations

import logging
from typing import Any

from daphne.server import Server  # noqa: F401  # isort: skip - installs the reactor that the next import needs
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.abstract import FileDescriptor

UNSENT_LIMIT = 1 << 20
_TEXT, _BINARY, _FINAL = 1, 2, 0x80

log = logging.getLogger(__name__)


class LeanWebSocketProtocol(WebSocketProtocol):  # type: ignore[misc]  # daphne is untyped
    """Daphne's WebSocket, with messages framed here. What is not plain is left to autobahn."""

    def serverSend(self, content: Any, binary: bool = False) -> None:
        is_plain = isinstance(self.transport, FileDescriptor) and self._perMessageCompress is None
        if self.state != self.STATE_OPEN or not is_plain or self.send_queue:
            super().serverSend(content, binary)
            return
        message = frame(_BINARY, content) if binary else frame(_TEXT, content.encode())
        n_waiting = unsent_bytes(self.transport)
        if n_waiting + len(message) > UNSENT_LIMIT:
            log.warning("cutting off %s: it does not read", self.peer)
            self.transport.abortConnection()
        elif n_waiting or not self._is_sent(message):
            self.transport.write(message)

    def _is_sent(self, message: bytes) -> bool:
        """Hand the message to the kernel at once: to ask first whether the socket is ready costs as much as sending."""
        n_sent = self.transport.writeSomeData(message)
        if not isinstance(n_sent, int) or n_sent <= 0:
            return False  # nothing left: full, or lost, which the ordinary way will find out
        if n_sent < len(message):
            self.transport.write(message[n_sent:])
        return True


def frame(opcode: int, payload: bytes) -> bytes:
    """One whole unmasked message (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_FINAL | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((_FINAL | opcode, 126, size >> 8, size & 255)) + payload
    return bytes((_FINAL | opcode, 127)) + size.to_bytes(8, "big") + payload


def unsent_bytes(transport: Any) -> int:
    """What twisted keeps until the peer takes it; its interface has no name for that."""
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)
