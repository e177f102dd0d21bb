"""How large may a body be before the server stops reading it? Daphne alone would queue a whole upload.

`DeskServer` takes the place of `daphne.server.Server`, same arguments. Import this module before anything else imports
twisted's reactor: `daphne.server` installs the asyncio one.
"""

from __future__ import annotations

import gc
from typing import Any

from daphne.server import Server  # isort: skip - installs the reactor that the next imports need
from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings
from twisted.internet import reactor as _reactor

from apps.web.renderers import json_bytes
from apps.web.request_ids import HEADER, begin
from apps.web.sockets import LeanWebSocketProtocol

reactor: Any = _reactor
# A refused client is still read for a moment: closing on unread data resets the connection and loses the answer.
DRAIN_BYTES = 1 << 20
DRAIN_SECONDS = 1.0


class LimitedRequest(WebRequest):  # type: ignore[misc]  # daphne is untyped
    """A request that is answered 413 as soon as its body is announced, or grows, beyond the limit."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = 0
        self._abort: Any = None

    @property
    def is_refused(self) -> bool:
        return self._abort is not None

    def gotLength(self, length: int | None) -> None:
        super().gotLength(min(length, settings.BODY_LIMIT_BYTES) if length else length)
        if length and length > settings.BODY_LIMIT_BYTES:
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self.is_refused:
            if self._received > DRAIN_BYTES:
                self.channel.transport.abortConnection()
        elif self._received > settings.BODY_LIMIT_BYTES:
            self._refuse()
        else:
            super().handleContentChunk(data)

    def process(self) -> Any:
        if self.is_refused:
            return None
        if self._received and not self.requestHeaders.hasHeader(b"content-length"):
            # A chunked body is whole by now; what reads it further in goes by its length.
            self.requestHeaders.setRawHeaders(b"content-length", [str(self._received).encode()])
        return super().process()

    def connectionLost(self, reason: Any) -> None:
        if self.is_refused and self._abort.active():
            self._abort.cancel()
        super().connectionLost(reason)

    def _refuse(self) -> None:
        self.requestHeaders.removeHeader(b"expect")
        transport = self.channel.transport
        transport.write(_refusal(self.requestHeaders.getRawHeaders(HEADER, [None])[0]))
        transport.loseWriteConnection()
        self._abort = reactor.callLater(DRAIN_SECONDS, transport.abortConnection)


class LimitedHTTPFactory(HTTPFactory):  # type: ignore[misc]  # daphne is untyped
    """Builds connections whose requests have a limit."""

    def buildProtocol(self, addr: Any) -> Any:
        protocol = super().buildProtocol(addr)
        protocol.requestFactory = LimitedRequest
        return protocol


class DeskServer(Server):  # type: ignore[misc]  # daphne is untyped
    """Daphne's server on our own protocols. `run()` assigns its own factories; the setters change them."""

    def run(self) -> None:
        """Serve. What is in memory by now stays there: a full collection that looked at all of it would stop every
        request and decision for a tenth of a second or two."""
        gc.collect()
        gc.freeze()
        super().run()

    @property
    def http_factory(self) -> LimitedHTTPFactory:
        return self._http_factory

    @http_factory.setter
    def http_factory(self, factory: HTTPFactory) -> None:
        self._http_factory = LimitedHTTPFactory(factory.server)

    @property
    def ws_factory(self) -> Any:
        return self._ws_factory

    @ws_factory.setter
    def ws_factory(self, factory: Any) -> None:
        factory.protocol = LeanWebSocketProtocol
        self._ws_factory = factory


def _refusal(offered_id: str | None) -> bytes:
    """The bytes of the answer: it leaves before any application exists for the request."""
    message = f"The body is larger than {settings.BODY_LIMIT_BYTES} bytes."
    request_id = begin(offered_id)
    body = json_bytes(
        {
            "type": "about:blank",
            "title": "Request Entity Too Large",
            "status": 413,
            "detail": message,
            "errors": [{"field": "body", "message": message}],
            "request_id": request_id,
        }
    )
    head = (
        "HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
        f"{HEADER}: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
