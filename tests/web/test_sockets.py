"""How frames leave the server: whole, in order, and never into a pile."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.abstract import FileDescriptor
from websockets.frames import Frame
from websockets.streams import StreamReader

from apps.web import sockets
from apps.web.sockets import LeanWebSocketProtocol, frame


class Wire(FileDescriptor):
    """A socket whose kernel takes so many bytes and no more until it is drained."""

    def __init__(self, room: int) -> None:
        super().__init__(reactor=object())
        self.connected = True
        self.room = room
        self.arrived = b""
        self.is_aborted = False

    def writeSomeData(self, data: bytes) -> int:
        taken = bytes(data[: self.room])
        self.arrived += taken
        self.room -= len(taken)
        return len(taken)

    def startWriting(self) -> None:
        """The test drains by hand."""

    def stopWriting(self) -> None:
        """The same."""

    def abortConnection(self) -> None:
        self.is_aborted = True

    def drain(self, room: int) -> None:
        self.room += room
        self.doWrite()


def protocol_on(wire: Wire) -> LeanWebSocketProtocol:
    protocol = LeanWebSocketProtocol.__new__(LeanWebSocketProtocol)
    protocol.state = LeanWebSocketProtocol.STATE_OPEN
    protocol._perMessageCompress = None
    protocol.send_queue = []
    protocol.transport = wire
    protocol.peer = "test"
    return protocol


def texts_in(data: bytes) -> list[str]:
    """What an independent reader makes of these bytes."""
    reader = StreamReader()
    reader.feed_data(data)
    found = []
    while reader.buffer:
        steps = Frame.parse(reader.read_exact, mask=False, max_size=None)
        with pytest.raises(StopIteration) as end:
            next(steps)
        found.append(end.value.value.data.decode())
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_of_any_size_is_read_by_another_library(size: int) -> None:
    assert texts_in(frame(1, b"x" * size)) == ["x" * size]


@pytest.mark.parametrize("seed", range(20))
def test_messages_arrive_whole_and_in_order_however_the_kernel_takes_them(seed: int) -> None:
    draw = random.Random(seed)
    wire = Wire(room=draw.randrange(300))
    protocol = protocol_on(wire)
    sent = ["é" * draw.randrange(200) for _ in range(60)]
    for text in sent:
        protocol.serverSend(text)
        if draw.random() < 0.3:
            wire.room += draw.randrange(400)  # room that the server has not been told of yet
        if draw.random() < 0.4:
            wire.drain(draw.randrange(400))
    while wire.dataBuffer[wire.offset :] or wire._tempDataLen:
        wire.drain(1_000)
    assert texts_in(wire.arrived) == sent, f"seed {seed}"


def test_a_peer_that_does_not_read_is_cut_off_before_the_pile_passes_the_limit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sockets, "UNSENT_LIMIT", 10_000)
    wire = Wire(room=5_000)
    protocol = protocol_on(wire)
    n_sent = 0
    while not wire.is_aborted:
        protocol.serverSend("x" * 996)
        n_sent += 1
    assert n_sent == 16  # five in the kernel, ten in the pile, and the one too many
    assert sockets.unsent_bytes(wire) == 10_000
    assert "it does not read" in caplog.text


def test_a_lost_connection_is_left_to_the_ordinary_way(monkeypatch: pytest.MonkeyPatch) -> None:
    wire = Wire(room=0)
    monkeypatch.setattr(wire, "writeSomeData", lambda data: ConnectionResetError())
    protocol_on(wire).serverSend("hello")
    assert sockets.unsent_bytes(wire) == len(frame(1, b"hello"))


def test_what_is_not_plain_is_left_to_autobahn(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Any] = []
    monkeypatch.setattr(sockets.WebSocketProtocol, "serverSend", lambda self, *given: left.append(given))
    protocol = protocol_on(Wire(room=100))
    protocol._perMessageCompress = object()
    protocol.serverSend("compressed")
    protocol._perMessageCompress, protocol.state = None, LeanWebSocketProtocol.STATE_CLOSING
    protocol.serverSend("late")
    protocol.state, protocol.transport = LeanWebSocketProtocol.STATE_OPEN, object()
    protocol.serverSend("over TLS")
    assert left == [("compressed", False), ("late", False), ("over TLS", False)]
