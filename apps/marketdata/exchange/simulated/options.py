"""Which options does the simulated exchange take? Shared by `python -m` and the management command."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from apps.marketdata.exchange.simulated.faults import NONE, Faults, described, parse_faults

DEFAULT_SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"
DEFAULT_SEED = 7
DEFAULT_SPEED = 0.0
DEFAULT_HISTORY = 1500
_SYMBOL = re.compile(r"[A-Z0-9]{2,20}", re.ASCII)
_RECORDED_ONLY = {"speed": "--speed", "history": "--history", "wait_for_client": "--wait-for-client"}


class Options(NamedTuple):
    """What to serve, and where."""

    port: int
    seed: int
    symbols: tuple[str, ...]
    file: Path | None
    symbol: str | None
    speed: float
    history: int
    wait_for_client: bool
    offset_ms: int
    parent_pid: int | None
    faults: Faults = NONE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; their defaults are part of the help."""
    parser.add_argument("--port", type=_port, default=0, help="port on 127.0.0.1; 0 takes a free one (default: 0)")
    parser.add_argument(
        "--seed", type=int, default=DEFAULT_SEED, help=f"seed of the market, book and trades (default: {DEFAULT_SEED})"
    )
    parser.add_argument(
        "--symbols", type=_symbols, help=f"comma-separated symbols of the synthetic market (default: {DEFAULT_SYMBOLS})"
    )
    parser.add_argument(
        "--from", dest="file", type=_file, metavar="FILE", help="serve recorded klines: .csv, .csv.gz or .zip"
    )
    parser.add_argument("--symbol", type=_symbol, help="symbol of the file (default: the first part of its name)")
    parser.add_argument(
        "--speed",
        type=_speed,
        help="recorded: market speed away from closes; 0 jumps (default: 0). For 2 s after each close at most 10x",
    )
    parser.add_argument(
        "--history", type=_positive, help=f"recorded: bars that are past at the start (default: {DEFAULT_HISTORY})"
    )
    parser.add_argument(
        "--wait-for-client",
        action=argparse.BooleanOptionalAction,
        help="recorded: stand still until a client subscribes to klines (default: on)",
    )
    parser.add_argument(
        "--offset-ms", type=int, default=0, help="synthetic: milliseconds added to this machine's UTC time (default: 0)"
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=NONE,
        metavar="SPEC",
        help="comma-separated faults, each name[:CHANCE][:DURATION], such as reset:0.01,stall:5s; `all` for all",
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"faults [default chance, duration]; drawn from --seed:\n{described()}"
    parser.add_argument("--parent-pid", type=_positive, help="end when this parent process is gone")


def options_of(parser: argparse.ArgumentParser, values: argparse.Namespace) -> Options:
    """Check what only the options together can tell. Exits with code 2 naming the option."""
    recorded = values.file is not None
    for name, option in _RECORDED_ONLY.items():
        if not recorded and getattr(values, name) is not None:
            parser.error(f"argument {option}: needs --from FILE")
    if not recorded and values.symbol is not None:
        parser.error("argument --symbol: needs --from FILE; use --symbols for the synthetic market")
    if recorded and values.symbols is not None:
        parser.error("argument --symbols: a recorded market has one; name it with --symbol")
    if recorded and values.offset_ms:
        parser.error("argument --offset-ms: a recorded market has its own clock")
    return Options(
        port=values.port,
        seed=values.seed,
        symbols=values.symbols or _symbols(DEFAULT_SYMBOLS),
        file=values.file,
        symbol=values.symbol,
        speed=DEFAULT_SPEED if values.speed is None else values.speed,
        history=values.history or DEFAULT_HISTORY,
        wait_for_client=values.wait_for_client is not False,
        offset_ms=values.offset_ms,
        parent_pid=values.parent_pid,
        faults=values.faults,
    )


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65_535:
        raise argparse.ArgumentTypeError("must be within 0..65535")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return number


def _speed(text: str) -> float:
    number = float(text)
    if not 0.0 <= number <= 100_000.0:
        raise argparse.ArgumentTypeError("must be within 0..100000")
    return number


def _symbol(text: str) -> str:
    name = text.strip().upper()
    if not _SYMBOL.fullmatch(name):
        raise argparse.ArgumentTypeError(f"{text!r} is no symbol")
    return name


def _symbols(text: str) -> tuple[str, ...]:
    names = tuple(_symbol(name) for name in text.split(",") if name.strip())
    if not names or len(set(names)) != len(names):
        raise argparse.ArgumentTypeError("must name each symbol once, such as BTCUSDT,ETHUSDT")
    return names


def _faults(text: str) -> Faults:
    try:
        return parse_faults(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"{text}: no such file")
    return path
