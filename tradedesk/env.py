"""What may be set from outside, with its default: the one table that settings, README and `--help` read."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

BASE_DIR = Path(__file__).resolve().parent.parent
CHECK_FAILED_EXIT = 2


class SettingError(ValueError):
    """A setting has a text that cannot be read. Names the setting."""


def _text(raw: str) -> str:
    return raw


def _natural(raw: str) -> int:
    number = int(raw)
    if number < 0:
        raise ValueError("must be 0 or more")
    return number


def _positive(raw: str) -> int:
    number = int(raw)
    if number <= 0:
        raise ValueError("must be above 0")
    return number


def _decimal(raw: str) -> Decimal:
    try:
        number = Decimal(raw)
    except InvalidOperation as error:
        raise ValueError("is not a decimal number") from error
    if not number.is_finite():
        raise ValueError("must be finite")
    return number


def _boolean(raw: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if raw.strip().lower() not in words:
        raise ValueError("must be one of true, false, yes, no, on, off, 1, 0")
    return words[raw.strip().lower()]


def _names(raw: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in raw.split(",") if part.strip())
    if len(set(names)) != len(names):
        raise ValueError("names an entry twice")
    return names


def _symbols(raw: str) -> tuple[str, ...]:
    names = tuple(name.upper() for name in _names(raw))
    if not names or not all(name.isalnum() and name.isascii() for name in names):
        raise ValueError("must be a comma-separated list of symbols such as BTCUSDT,ETHUSDT")
    return names


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(raw: str) -> str:
        if raw not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return raw

    return read


INTERVALS_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}


@dataclass(frozen=True)
class Setting:
    """One thing that an environment variable of the same name may set."""

    name: str
    default: str
    read: Callable[[str], Any]
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting("SYMBOLS", "BTCUSDT,ETHUSDT,SOLUSDT", _symbols, "The watch list."),
    Setting("INTERVAL", "1m", _one_of(*INTERVALS_MS), "Bar interval of the desk."),
    Setting("EXCHANGE", "simulated", _one_of("simulated", "binance"), "Where market data comes from."),
    Setting("EXCHANGE_REST_URL", "", _text, "REST base address; empty chooses by EXCHANGE."),
    Setting("EXCHANGE_WS_URL", "", _text, "Stream base address; empty chooses by EXCHANGE."),
    Setting("EXCHANGE_SECOND_REST_URL", "", _text, "Another REST address that is asked about suspect candles."),
    Setting("CROSS_CHECK_MINUTES", "15", _positive, "Minutes between comparisons of stored bars with the exchange's."),
    Setting("SIM_SEED", "7", _natural, "Seed of the simulated market."),
    Setting("SIM_PORT", "0", _natural, "Port of the simulated exchange; 0 takes a free one."),
    Setting("HISTORY_BARS", "5000", _positive, "Closed bars fetched per symbol when the desk has none."),
    Setting("HORIZON_BARS", "", _text, "Bars between decisions; empty is 5 (simulated) or 60 (binance)."),
    Setting("INITIAL_CASH", "1000000", _decimal, "Paper cash of a new epoch, in quote currency."),
    Setting("MAX_NOTIONAL", "250000", _decimal, "Cap on the gross notional of all positions."),
    Setting("SYMBOL_NOTIONAL_CAP", "100000", _decimal, "Cap on the notional of one symbol."),
    Setting("MAX_DD", "0.05", _decimal, "Rolling drawdown, as a fraction, that trips the breaker."),
    Setting("DRAWDOWN_WINDOW_TRADES", "50", _positive, "Fills that the rolling drawdown looks back on (at most 512)."),
    Setting("BREAKER_MINUTES", "15", _positive, "How long a tripped breaker pauses new risk."),
    Setting("ORDERS_PER_MINUTE", "6", _positive, "Orders per symbol in any 60 seconds (at most 60)."),
    Setting("MAX_ORDER_NOTIONAL", "100000", _decimal, "Cap on the notional of a single order; 0 is no cap."),
    Setting("HARD_DD", "0.10", _decimal, "Drawdown from the peak that latches REDUCING until released; 0 is off."),
    Setting("DAILY_LOSS", "0.03", _decimal, "Loss of a UTC day that stops new risk until the next; 0 is off."),
    Setting("REPEAT_ORDERS", "20", _natural, "Identical router orders in 60 seconds that latch a stop; 0 is off."),
    Setting("PRICE_COLLAR", "0.02", _decimal, "How far from the mark an order may fill, as a fraction; 0 is off."),
    Setting("FILTERS_STALE_HOURS", "24", _natural, "Age of exchange filters that denies new risk; 0 is off."),
    Setting("COOLDOWN_MINUTES", "0", _natural, "Pause of a symbol after its exit; 0 is off."),
    Setting("STOPLOSS_GUARD_TRADES", "0", _natural, "Stopped exits in the look-back that pause a symbol; 0 is off."),
    Setting("STOPLOSS_GUARD_LOOKBACK_MINUTES", "1440", _positive, "Look-back of the stop-loss guard."),
    Setting("STOPLOSS_GUARD_MINUTES", "60", _positive, "Pause of the stop-loss guard, from the last stopped exit."),
    Setting("LOW_PROFIT_TRADES", "0", _natural, "Closed trades that low profit is judged on; 0 is off."),
    Setting("LOW_PROFIT", "0", _decimal, "Summed profit of those trades, as a fraction, below which a symbol locks."),
    Setting("LOW_PROFIT_LOOKBACK_MINUTES", "1440", _positive, "Look-back of the low-profit lock."),
    Setting("LOW_PROFIT_MINUTES", "60", _positive, "How long the low-profit lock holds, from the last exit."),
    Setting("PROTECT_STOP", "0", _decimal, "Protective stop below a router position's entry, a fraction; 0 is none."),
    Setting("PROTECT_TAKE", "0", _decimal, "Take-profit above a router position's entry, a fraction; 0 is none."),
    Setting("STALE_AFTER_MS", "5000", _positive, "Age in market time after which a book denies new risk."),
    Setting("ENTRY_LATENCY_MS", "50", _natural, "Market time between a decision and its arrival at the book."),
    Setting("FILLS", "depth", _one_of("depth", "bars"), "Fill on the live book, or at the next bar's open."),
    Setting("FEE_BPS", "10", _natural, "Taker fee in basis points, in quote currency, rounded up to 1e-8."),
    Setting("FEE_ASSET", "quote", _one_of("quote", "base"), "What buys pay their fee in; base leaves dust."),
    Setting("ALLOW_SHORT", "false", _boolean, "Whether signals below 0 may open short positions."),
    Setting("REBALANCE_BAND", "0.20", _decimal, "Share of the target below which a same-sign order is not sent."),
    Setting("ROUTER_MODE", "thompson", _one_of("thompson", "ucb", "greedy"), "How the router chooses an arm."),
    Setting("ROUTER_SEED", "20260101", _natural, "Root seed of every draw."),
    Setting("FALLBACK_POLICY", "ema_cross", _text, "Policy that decides while the flag StrategyRouter is off."),
    Setting("AUTOPILOT", "true", _boolean, "Whether the desk trades on its own grid."),
    Setting("KILL_SWITCH", "false", _boolean, "Engage the kill switch at start."),
    Setting("DATABASE_URL", "", _text, "PostgreSQL address; empty is SQLite in the var folder."),
    Setting("REDIS_URL", "", _text, "Redis address; needed when roles run apart."),
    Setting("PROFILE", "embedded", _one_of("embedded", "scaled"), "embedded trusts this machine's loopback."),
    Setting("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]", _names, "Host names the server answers to."),
    Setting("SECRET_KEY", "", _text, "Django's secret; empty keeps one in the var folder."),
    Setting("TRADEDESK_VAR", "var", _text, "Folder for database, tokens and kernels."),
    Setting("TRADEDESK_DATA", "../shared/data", _text, "Recorded bars (tests, demo)."),
    Setting(
        "POLICY_PATHS",
        "",
        _names,
        "Files with policies of your own (docs/policies.md), relative to the project or absolute.",
    ),
    Setting("LOG_LEVEL", "INFO", _one_of("DEBUG", "INFO", "WARNING", "ERROR"), "What is logged to standard error."),
)


def read_setting(name: str) -> Any:
    """The value of one setting. Raises SettingError naming it when its text cannot be read."""
    setting = next(entry for entry in SETTINGS if entry.name == name)
    raw = os.environ.get(name, setting.default)
    try:
        return setting.read(raw)
    except (ValueError, InvalidOperation) as error:
        raise SettingError(f"{name}={raw!r}: {error}") from error


def var_dir() -> Path:
    """The writable folder. Exits with one clear line when it cannot be written."""
    path: Path = BASE_DIR / read_setting("TRADEDESK_VAR")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        sys.exit(f"tradedesk cannot write to {path} ({error.strerror}). Set TRADEDESK_VAR to a folder you own.")
    return path


def policy_files() -> list[Path]:
    """The files that POLICY_PATHS names. Raises SettingError for one that cannot be read."""
    files: list[Path] = [(BASE_DIR / name).resolve() for name in read_setting("POLICY_PATHS")]
    for path in files:
        if path.suffix != ".py" or not path.is_file() or not os.access(path, os.R_OK):
            raise SettingError(f"POLICY_PATHS: {path} is not a Python file that can be read")
    if len(set(files)) != len(files):
        raise SettingError("POLICY_PATHS: names a file twice")
    return files


def _load_policy_files(files: list[Path]) -> None:
    """Register the policies of these files before anything counts arms. Raises SettingError with file and reason."""
    if not files:
        return
    from apps.engine.errors import InvalidInput
    from apps.engine.policies.files import load_policy_file

    for path in files:
        try:
            load_policy_file(str(path))
        except InvalidInput as error:
            raise SettingError(f"{error.field}: {error}") from error


def engine_hash() -> str:
    """Hash of every source a kernel can come from, with numba, numpy and the CPU.

    numba's file cache does not notice a change in a callee of another file, so the cache folder carries this name.
    """
    from importlib.metadata import version

    digest = hashlib.sha256()
    sources = sorted((BASE_DIR / "apps" / "engine").rglob("*.py"))
    sources += policy_files()
    for source in sources:
        name = source.relative_to(BASE_DIR) if source.is_relative_to(BASE_DIR) else source
        digest.update(str(name).encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update(f"{version('numba')} {version('numpy')} {sys.version_info[:2]} {_cpu_model()}".encode())
    return digest.hexdigest()[:16]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        import platform

        return platform.processor() or platform.machine()
    wanted = ("vendor_id", "cpu family", "model\t", "flags")
    return hashlib.sha256("".join(line for line in lines[:40] if line.startswith(wanted)).encode()).hexdigest()


def prepare_process() -> None:
    """Set what must be set before Django and numba are imported. Exits with code 2 on a bad setting."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradedesk.settings")
    try:
        for setting in SETTINGS:
            read_setting(setting.name)
        files = policy_files()
        os.environ.setdefault("NUMBA_CACHE_DIR", str(var_dir() / "kernels" / engine_hash()))
        _load_policy_files(files)
    except SettingError as error:
        print(f"tradedesk: {error}", file=sys.stderr)
        sys.exit(CHECK_FAILED_EXIT)
