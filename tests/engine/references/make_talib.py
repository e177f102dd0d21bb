"""Write talib.json, TA-Lib's answers on 160 made bars: `pip install TA-Lib==0.8.2`, then run this file.

TA-Lib is needed for this alone, so it is no requirement of the tests.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import talib

BARS = 160


def bars() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """High, low and close of a walk in cents; a stretch of it stands still."""
    rng = np.random.default_rng(11)
    close = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_t(4, BARS)))
    close[70:80] = close[69]
    opens = np.concatenate([[100.0], close[:-1]])
    high = np.maximum(opens, close) * (1.0 + 0.004 * rng.random(BARS))
    low = np.minimum(opens, close) * (1.0 - 0.004 * rng.random(BARS))
    return np.round(high, 2), np.round(low, 2), np.round(close, 2)


def main() -> None:
    high, low, close = bars()
    flat = np.full(30, 0.1)
    upper, middle, lower = talib.BBANDS(close, timeperiod=20, nbdevup=2, nbdevdn=2)
    line, signal, histogram = talib.MACD(close, fastperiod=12, slowperiod=26, signalperiod=9)
    columns = {
        "high": high,
        "low": low,
        "close": close,
        "sma_20": talib.SMA(close, 20),
        "ema_20": talib.EMA(close, 20),
        "rsi_14": talib.RSI(close, 14),
        "rsi_5": talib.RSI(close, 5),
        "rsi_flat": talib.RSI(flat, 14),
        "true_range": talib.TRANGE(high, low, close),
        "atr_14": talib.ATR(high, low, close, 14),
        "bollinger_lower": lower,
        "bollinger_middle": middle,
        "bollinger_upper": upper,
        "macd_line": line,
        "macd_signal": signal,
        "macd_histogram": histogram,
        "max_20": talib.MAX(high, 20),
        "min_10": talib.MIN(low, 10),
    }
    body = {name: [None if np.isnan(x) else float(x) for x in column] for name, column in columns.items()}
    body["version"] = talib.__version__
    lines = ",\n".join(f'"{name}": {json.dumps(value)}' for name, value in body.items())
    Path(__file__).with_name("talib.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
