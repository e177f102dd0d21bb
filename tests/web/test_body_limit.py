"""The server refuses a large body before it has read it, announced or chunked, and memory stays flat."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


@dataclass(frozen=True)
class Desk:
    port: int
    pid: int

    def rss_mib(self) -> float:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    var = tmp_path_factory.mktemp("serve")
    (var / "static").mkdir()
    env = {**os.environ, "TRADEDESK_VAR": str(var), "DJANGO_SETTINGS_MODULE": "tradedesk.settings"}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.web.serve"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    yield Desk(port=int(process.stdout.readline()), pid=process.pid)
    process.terminate()
    process.wait(10)
    process.stdout.close()


def head(*lines: str) -> bytes:
    fixed = ("POST /api/schema HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*fixed, *lines, "", ""]).encode()


def read_answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem of the answer; a connection that is reset after it is no fault."""
    raw = b""
    while True:
        try:
            piece = connection.recv(65536)
        except ConnectionResetError:
            break
        if not piece:
            break
        raw += piece
        answer_head, _, body = raw.partition(b"\r\n\r\n")
        length = next((line for line in answer_head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"")
        if length and len(body) >= int(length.split(b":")[1]):
            break
    answer_head, _, body = raw.partition(b"\r\n\r\n")
    return int(answer_head.split()[1]), orjson.loads(body)


def push(connection: socket.socket, piece: bytes, total: int) -> int:
    """Send up to `total` bytes until the server hangs up; how many it took."""
    sent = 0
    while sent < total:
        try:
            connection.sendall(piece)
        except OSError:
            break
        sent += len(piece)
    return sent


def test_an_announced_gibibyte_is_refused_at_once(desk: Desk) -> None:
    started = time.monotonic()
    with desk.connect() as connection:
        connection.sendall(head(f"Content-Length: {GIB}", "X-Request-ID: abc"))
        status, problem = read_answer(connection)
    assert (status, problem["status"], problem["requestId"]) == (413, 413, "abc")
    assert problem["errors"][0]["field"] == "body"
    assert time.monotonic() - started < 0.5


def test_a_client_that_sends_it_all_the_same_is_cut_off_and_memory_stays_flat(desk: Desk) -> None:
    before = desk.rss_mib()
    with desk.connect() as connection:
        connection.sendall(head(f"Content-Length: {GIB}"))
        taken = push(connection, b"x" * 65536, GIB)
    assert taken < GIB / 16
    assert desk.rss_mib() - before < 20


def test_a_chunked_body_is_cut_off_where_it_passes_the_limit(desk: Desk) -> None:
    before = desk.rss_mib()
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with desk.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked") + piece + piece)
        status, problem = read_answer(connection)
        taken = push(connection, piece, GIB)
    assert (status, problem["errors"][0]["field"]) == (413, "body")
    assert taken < GIB / 16
    assert desk.rss_mib() - before < 20


def served_so_far(desk: Desk) -> float:
    """Requests that the application of the server has seen, this one included."""
    with desk.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    line = next(line for line in text.splitlines() if line.startswith(b"django_http_requests_before_middlewares_total"))
    return float(line.split()[1])


@pytest.mark.parametrize("framing", ["Content-Length: 65540", "Transfer-Encoding: chunked"])
def test_a_refused_request_never_reaches_the_application(desk: Desk, framing: str) -> None:
    before = served_so_far(desk)
    order = b'{"symbol": "BTCUSDT"}'
    body = order + b" " * (65_540 - len(order))
    if "chunked" in framing:
        body = b"15\r\n" + order + b"\r\n10000\r\n" + b" " * 65_536 + b"\r\n0\r\n\r\n"
    with desk.connect() as connection:
        connection.sendall(head(framing) + body)
        assert read_answer(connection)[0] == 413
    assert served_so_far(desk) == before + 1


def test_no_100_continue_follows_the_refusal(desk: Desk) -> None:
    with desk.connect() as connection:
        connection.sendall(head(f"Content-Length: {GIB}", "Expect: 100-continue"))
        raw = b""
        while piece := connection.recv(65536):
            raw += piece
    assert raw.startswith(b"HTTP/1.1 413") and b"100 Continue" not in raw


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_the_limit_is_exact(desk: Desk, size: int) -> None:
    with desk.connect() as connection:
        connection.sendall(head(f"Content-Length: {size}", "Connection: close") + b"x" * size)
        status, _ = read_answer(connection)
    assert status == (405 if size == 65_536 else 413)


def test_a_small_chunked_body_gets_through(desk: Desk) -> None:
    with desk.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked", "Connection: close") + b"2\r\n{}\r\n0\r\n\r\n")
        status, problem = read_answer(connection)
    assert (status, problem["title"]) == (405, "Method Not Allowed")
