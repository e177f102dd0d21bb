"""A PostgreSQL connection that is cut at COMMIT, by a proxy in between: before the server hears of it, or after."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connections

from apps.engine.errors import Unavailable
from apps.execution import desk
from apps.execution.models import Order
from apps.execution.requests import Answer, DecisionRequest, Prepared
from tests.support.fire import ground

BEFORE, AFTER = "before", "after"
Take = Callable[[DecisionRequest], Answer]


class Proxy:
    """Passes bytes on between this process and the server's socket; `cut` names when to hang up at the next COMMIT."""

    def __init__(self, server: Path) -> None:
        self.cut: str | None = None
        self.n_cut = 0
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        down = threading.Thread(target=self._down, args=(client, server), daemon=True)
        down.start()
        while data := client.recv(65_536):
            if self.cut is None or b"COMMIT" not in data:
                server.sendall(data)
                continue
            when, self.cut = self.cut, None
            self.n_cut += 1
            client.shutdown(socket.SHUT_RDWR)  # whatever the server answers from here on is not passed on
            if when == AFTER:
                server.sendall(data)
            break
        server.shutdown(socket.SHUT_WR)
        down.join()
        server.close()
        client.close()

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        while data := server.recv(65_536):
            try:
                client.sendall(data)
            except OSError:
                return


def cuts(*, rounds: int) -> dict[str, Any]:
    """In a process of its own: its threads must not be forked."""
    ground.limits(max_notional_e8=ground.NO_LIMIT, symbol_notional_cap_e8=ground.NO_LIMIT)
    told: dict[str, Any] = ground.in_processes([partial(cut, rounds)])[0]
    return told


def cut(rounds: int) -> dict[str, Any]:
    place = connections.databases["default"]
    server = Path(place["HOST"] or place["OPTIONS"].get("host", "")) / f".s.PGSQL.{place.get('PORT') or 5432}"
    proxy = Proxy(server)
    place["HOST"], place["PORT"] = "127.0.0.1", proxy.port
    place["OPTIONS"].pop("host", None)
    place["OPTIONS"]["pool"] = {"min_size": 1, "max_size": 8, "timeout": 10}  # as the desk has it: it must let go too
    connections["default"].settings_dict.update(place)
    desk.live_facts = lambda symbol, **_: ground.facts(symbol)
    desk.prepare, desk.due_ms = prepared, lambda _: 0  # no market runs here: the book is there, and nothing waits
    told: dict[str, Any] = {"rounds": rounds, "wrong": [], "looked_up": 0, "decided_again": 0, "not_known": 0}
    for number in range(rounds):
        for take in (committed, awaited):
            for when in (BEFORE, AFTER):
                one_cut(proxy, when, take, f"{take.__name__}-{when}-{number}", told)
                unkeyed(proxy, when, take, told)
    told["cut"] = proxy.n_cut
    return told


def one_cut(proxy: Proxy, when: str, take: Take, key: str, told: dict[str, Any]) -> None:
    """With a key the answer is the truth: what was committed, or what is decided now because nothing was."""
    before, request = Order.objects.count(), ground.order(ground.SYMBOLS[0], lots=1, key=key)
    proxy.cut = when
    answer = take(request)
    told["looked_up" if answer.is_repeat else "decided_again"] += 1
    again = take(request)
    is_right = answer.is_repeat == (when == AFTER) and again.is_repeat and again.body == answer.body
    if not is_right or Order.objects.count() != before + 1:
        told["wrong"].append([when, key, answer.is_repeat, Order.objects.count() - before])


def unkeyed(proxy: Proxy, when: str, take: Take, told: dict[str, Any]) -> None:
    """Without one nothing is tried again, and the answer says that nobody knows."""
    before, request = Order.objects.count(), ground.order(ground.SYMBOLS[1], lots=1)
    proxy.cut = when
    try:
        take(request)
    except Unavailable as error:
        told["not_known"] += "not known" in str(error)
    take(request)  # waits for what the server may still be committing
    if Order.objects.count() != before + 1 + (when == AFTER):
        told["wrong"].append([when, "no key", Order.objects.count() - before])


def prepared(request: DecisionRequest) -> Prepared:
    return Prepared(request, None, ground.book(request.symbol, ground.clock[0]), ground.clock[0])


def committed(request: DecisionRequest) -> Answer:
    """By the way of the autopilot."""
    return desk.commit(prepared(request), None)


def awaited(request: DecisionRequest) -> Answer:
    """By the way of the API: from an event loop, with no thread of its own."""
    return asyncio.run(desk.take_async(request, lambda answer: answer))
