"""Every assumption a backtest rests on, in sentences with its own numbers."""

from __future__ import annotations

from apps.dashboard.formats import decimal_e8, percent, price
from apps.engine.fills import HALF_SPREAD, IMPACT, PARTICIPATION_DIVISOR
from apps.research.backtests.request import FILL_SETTINGS, ROUTER
from apps.research.selectors import Backtest


def assumptions(run: Backtest) -> list[str]:
    """What a reader must believe to believe the figures."""
    return [*_fills(run), *_desk(run), *_bars(run), *_hold(run)]


def _fills(run: Backtest) -> list[str]:
    asked, scale = run.parameters, FILL_SETTINGS[run.fills]
    return [
        "A decision sees only bars that have closed. Its order fills at the open of the next bar; without a next bar "
        "it expires.",
        f"Setting {run.fills}: that open is made worse by {scale} times a half-spread of {HALF_SPREAD * 1e4:.0f} bps "
        f"and an impact of {IMPACT} x bar volatility x sqrt(notional / mean quote volume of a bar), rounded to the "
        "tick against the order. Nobody else reacts to our orders.",
        f"An order takes at most {percent(1 / PARTICIPATION_DIVISOR, 0)} of the next bar's volume; the rest expires.",
        f"Every fill pays the taker's fee of {asked['fee_bps']} bps, in {asked['fee_asset']} currency on buys, "
        "rounded up. No rebates, no funding, no interest on cash, no taxes.",
    ]


def _desk(run: Backtest) -> list[str]:
    asked, limits = run.parameters, run.parameters["limits"]
    chosen = (
        "The router chooses among all policies, with the seed below."
        if run.policy == ROUTER
        else f"The policy {run.policy} decides alone; the router still learns, and its posterior widths still size it."
    )
    latches = run.figures["counts"]["hard_latches"]
    latched = (
        f" It latched {latches} time{'s' if latches > 1 else ''} here, and from then on the desk only reduced."
        if latches
        else ""
    )
    return [
        chosen,
        f"Decisions every {asked['horizon_bars']} bars. The symbol has {percent(asked['weight_e9'] / 1e9, 1)} of the "
        f"portfolio's weight; shorts are {'allowed' if asked['allow_short'] else 'not allowed'}; BOCPD is "
        f"{'on' if asked['bocpd'] else 'off'}.",
        f"The limits are today's: {decimal_e8(limits['symbol_notional_cap_e8'])} a symbol, "
        f"{decimal_e8(limits['order_cap_e8'])} an order, {decimal_e8(limits['max_notional_e8'])} in all, whatever the "
        "account holds. Prices, books and rules are never stale, and the trading state is ACTIVE.",
        f"The hard drawdown breaker ({percent(limits['hard_drawdown_bps'] / 1e4, 0)}) latches until a person releases "
        f"it, and in a backtest nobody does.{latched}",
        "The desk starts flat and has learned nothing before the first bar: features and policies warm up inside "
        "the window, and again after each gap.",
    ]


def _bars(run: Backtest) -> list[str]:
    filters, data = run.parameters["filters"], run.data
    rules = f"tick {price(filters['tick_e8'])}, lot {decimal_e8(filters['step_e8'])}, minimum notional " + (
        decimal_e8(filters["min_notional_e8"])
    )
    said = [
        f"The exchange's rules are those in force now ({rules})."
        if not data["is_inferred"]
        else f"The exchange's rules are not known here; they are read off the numbers of the file ({rules})."
    ]
    if data["off_tick"]:
        said.append(f"{data['off_tick']:,} bars have a price that is no whole tick today; it is rounded down.")
    said.append(
        "Missing bars are not imputed and bars that are not believed are not traded: positions stay, orders into the "
        "hole expire, and nothing is decided until the warm-up is whole again."
    )
    return said


def _hold(run: Backtest) -> list[str]:
    return [
        "Buy and hold puts all first cash into whole lots at the open of the first bar, with the fee and the "
        "half-spread of this setting, without impact and without a cap on volume. Cash earns nothing.",
        f"Yearly figures count {run.parameters['bars_per_year']:,} bars to the year. A missing bar has the close "
        "before it.",
    ]
