"""Alarms, labels and their hysteresis, on observations made for the purpose and on streamed bars."""

from __future__ import annotations

import math

import numpy as np
import pytest

from apps.engine.bocpd import bocpd_state, bocpd_update_nb, segment_posterior
from apps.engine.errors import InvalidInput
from apps.engine.features import (
    features_bar_nb,
    features_sample_nb,
    features_state,
    horizon_return_nb,
    realized_vol_nb,
    sigma_previous_nb,
)
from apps.engine.regime import (
    LABELS,
    regime_age_nb,
    regime_batch_nb,
    regime_grid_nb,
    regime_label_nb,
    regime_recent_nb,
    regime_state,
    regime_summary,
)
from tests.engine.series import digest, market

H = 60
SIGMA = 0.001


class World:
    """Grid bars one by one: volatility as a factor, return in standard errors."""

    def __init__(self, horizon: int = H) -> None:
        self.horizon = horizon
        self.f, self.i = regime_state(horizon)
        self.alarms: list[int] = []
        self.labels: list[str] = []

    def feed(self, volatility: np.ndarray, drift: np.ndarray, *, enabled: int = 1) -> World:
        scale = SIGMA * math.sqrt(self.horizon)
        for vol, move in zip(np.atleast_1d(volatility), np.atleast_1d(drift), strict=True):
            self.alarms.append(regime_grid_nb(self.f, self.i, vol * scale, move * scale, SIGMA, enabled))
            self.labels.append(LABELS[regime_label_nb(self.f, self.i)])
        return self


def noise(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.exp(0.2 * rng.standard_normal(n)), rng.standard_normal(n)


def standardized(raw: np.ndarray, size: int) -> np.ndarray:
    """Each value against median and MAD of the up to `size` before it; NaN below 30."""
    out = np.full(raw.shape[0], np.nan)
    for t in range(30, raw.shape[0]):
        past = raw[max(0, t - size) : t]
        median = np.median(past)
        out[t] = np.clip((raw[t] - median) / (1.4826 * np.median(np.abs(past - median))), -3, 3)
    return out


def definition(vol: np.ndarray, move: np.ndarray) -> tuple[list[int], list[str]]:
    """Alarms and labels as written, with H = 60: windows of 36 and 72 values."""
    o = np.log(vol * SIGMA * math.sqrt(H)), move
    detectors = [bocpd_state(), bocpd_state()]
    inputs = [standardized(raw, 36) for raw in o]
    armed, seen, since_alarm, label = [False, False], 0, 99, "unknown"
    alarms, labels = [], []
    for t in range(vol.shape[0]):
        if t < 30:
            alarms.append(0)
            labels.append("unknown")
            continue
        seen += 1
        fired = False
        expected_length = 0.0
        for k, (f, i) in enumerate(detectors):
            bocpd_update_nb(f, i, inputs[k][t])
            lengths, masses = segment_posterior(f, i)
            recent = masses[lengths <= 10].sum()
            if k == 0:
                expected_length = float(np.sum(lengths * masses))
            if recent < 0.2:
                armed[k] = True
            elif recent >= 0.5 and armed[k]:
                armed[k], fired = False, fired or seen > 30
        alarms.append(int(fired))
        since_alarm = 0 if fired else since_alarm + 1
        past = o[0][max(0, t - 71) : t + 1]
        n = min(max(10, math.floor(expected_length + 0.5)), past.shape[0])
        level = past[-n:].mean()
        quantile = (np.sum(past < level) + 0.5 * np.sum(past == level)) / past.shape[0]
        trend = o[1][: t + 1][-n:].mean() * math.sqrt(n)
        if seen <= 30 or since_alarm <= 3:
            label = "unknown"
        elif quantile >= (0.68 if label == "turbulent" else 0.85):
            label = "turbulent"
        elif trend >= (1.2 if label == "bull_trend" else 1.5):
            label = "bull_trend"
        elif trend <= (-1.2 if label == "bear_trend" else -1.5):
            label = "bear_trend"
        else:
            label = "range"
        labels.append(label)
    return alarms, labels


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alarms_and_labels_are_their_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vol, move = noise(900, seed)
    vol *= np.repeat(np.exp(rng.choice([-1.0, 0.0, 1.0], 9)), 100)
    move += np.repeat(rng.choice([-1.0, 0.0, 1.0], 9), 100)
    world = World().feed(vol, move)
    alarms, labels = definition(vol, move)
    assert world.alarms == alarms and world.labels == labels
    assert 4 <= sum(alarms) <= 40 and set(labels) == set(LABELS)


def test_the_first_labels_wait_for_scale_and_burn_in() -> None:
    vol, move = noise(200)
    world = World().feed(vol, move)
    assert set(world.labels[:60]) == {"unknown"} and world.labels[60] != "unknown"
    assert not any(world.alarms[:60])


def test_a_change_during_burn_in_is_no_alarm() -> None:
    vol, move = noise(200)
    vol[52:] *= 8.0
    world = World(horizon=12).feed(vol[:60], move[:60])
    assert regime_recent_nb(world.f, world.i) > 0.5 and not any(world.alarms)
    late = World(horizon=12).feed(np.concatenate([vol[:52], vol[:40], vol[52:60]]), np.resize(move, 100))
    assert any(late.alarms[92:])


def test_the_age_is_unknown_before_the_first_observation_unless_switched_off() -> None:
    vol, move = noise(40)
    waiting = World().feed(vol[:30], move[:30])
    assert math.isnan(regime_age_nb(waiting.f, waiting.i)) and math.isnan(regime_recent_nb(waiting.f, waiting.i))
    waiting.feed(vol[30], move[30])
    assert regime_age_nb(waiting.f, waiting.i) == 1.0 and regime_recent_nb(waiting.f, waiting.i) == 1.0
    off = World().feed(vol, move, enabled=0)
    assert regime_age_nb(off.f, off.i) == 0.0


def test_one_change_is_told_once_and_unsettles_the_label() -> None:
    vol, move = noise(400)
    vol[300:] *= 6.0
    world = World(horizon=12).feed(vol, move)
    fired = [t for t, alarm in enumerate(world.alarms) if alarm and t >= 300]
    assert fired and fired[0] < 306
    assert not any(world.alarms[fired[0] + 1 : fired[0] + 8])
    assert world.labels[fired[0] : fired[0] + 4] == ["unknown"] * 4
    assert world.labels[fired[0] + 4] == "turbulent"
    assert regime_summary(world.f, world.i).alarms == sum(world.alarms)


def test_a_trend_is_named_by_its_sign() -> None:
    vol, move = noise(500, seed=4)
    up = World(horizon=12).feed(vol, np.where(np.arange(500) >= 300, 0.3 * move + 1.2, move))
    down = World(horizon=12).feed(vol, np.where(np.arange(500) >= 300, 0.3 * move - 1.2, move))
    assert up.labels[340:].count("bull_trend") > 100 and "bear_trend" not in up.labels[320:]
    assert down.labels[340:].count("bear_trend") > 100 and "bull_trend" not in down.labels[320:]


def test_without_an_observation_only_the_label_changes() -> None:
    vol, move = noise(150)
    world = World().feed(vol, move)
    before = world.f.copy()
    assert world.labels[-1] != "unknown"
    for reading in ((math.nan, 0.0, SIGMA), (0.0, 0.0, SIGMA), (SIGMA, math.nan, SIGMA), (SIGMA, 0.0, math.nan)):
        assert regime_grid_nb(world.f, world.i, *reading, 1) == 0
        assert LABELS[regime_label_nb(world.f, world.i)] == "unknown"
    assert digest(world.f) == digest(before)
    world.feed(*noise(2, seed=9))
    assert world.labels[-1] != "unknown"


def test_switched_off_it_neither_learns_nor_alarms() -> None:
    vol, move = noise(300)
    world = World().feed(vol[:200], move[:200])
    age, summary = regime_age_nb(world.f, world.i), regime_summary(world.f, world.i)
    world.feed(9.0 * vol[200:], move[200:], enabled=0)
    off = regime_summary(world.f, world.i)
    assert not any(world.alarms[200:]) and set(world.labels[200:]) == {"unknown"}
    assert regime_age_nb(world.f, world.i) == age and off.run_lengths == summary.run_lengths
    assert summary.is_enabled and not off.is_enabled and off.grids_since == 99
    # The trailing windows went on, so volatility at the new level is nothing unusual any more.
    on = World().feed(vol[:200], move[:200]).feed(9.0 * vol[200:], move[200:])
    world.feed(9.0 * vol[:1], move[:1])
    on.feed(9.0 * vol[:1], move[:1])
    assert world.f[2] == on.f[2] and abs(world.f[2]) < 3.0


def test_the_summary_reads_the_state_out() -> None:
    vol, move = noise(400)
    world = World(horizon=12).feed(vol, move)
    summary = regime_summary(world.f, world.i)
    assert summary.label == world.labels[-1] and summary.is_enabled
    assert len(summary.run_lengths) == 50
    masses = [mass for _, mass in summary.run_lengths]
    assert masses == sorted(masses, reverse=True) and sum(masses) <= 1.0 + 1e-12
    assert summary.mode_length == summary.run_lengths[0][0]
    assert summary.mean_length == regime_age_nb(world.f, world.i)
    assert summary.change_probability == regime_recent_nb(world.f, world.i)
    assert 0.0 <= summary.volatility_quantile <= 1.0 and summary.log_evidence < 0.0
    run = next(k for k, label in enumerate(reversed(world.labels)) if label != world.labels[-1])
    assert summary.grids_since == run - 1
    empty = regime_summary(*regime_state(5))
    assert empty.label == "unknown" and empty.mean_length is None and empty.run_lengths == ()
    assert empty.change_probability is None and empty.trend is None and empty.volatility_quantile is None


def test_prefix_copy_and_batch_change_nothing() -> None:
    vol, move = noise(400)
    vol[200:] *= 3.0
    scale = SIGMA * math.sqrt(H)
    world = World().feed(vol, move)
    part = World().feed(vol[:250], move[:250])
    assert part.alarms == world.alarms[:250] and part.labels == world.labels[:250]
    part.f, part.i = part.f.copy(), part.i.copy()
    part.feed(vol[250:], move[250:])
    f, i = regime_state(H)
    alarms, labels = np.zeros(400, np.int64), np.zeros(400, np.int64)
    regime_batch_nb(f, i, vol * scale, move * scale, np.full(400, SIGMA), np.ones(400, np.int64), alarms, labels)
    assert digest(f, i) == digest(part.f, part.i) == digest(world.f, world.i)
    assert alarms.tolist() == world.alarms and [LABELS[k] for k in labels] == world.labels


def test_on_bars_every_label_occurs_and_alarms_stay_rare() -> None:
    columns = market(12_000, seed=6)
    f, i = features_state(5)
    g, j = regime_state(5)
    alarms, labels = 0, []
    for t in range(12_000):
        features_bar_nb(f, i, *(float(column[t]) for column in columns))
        if t % 5 == 0:
            alarms += regime_grid_nb(g, j, realized_vol_nb(f, i), horizon_return_nb(f, i), sigma_previous_nb(f), 1)
            labels.append(LABELS[regime_label_nb(g, j)])
            features_sample_nb(f, i)
    assert 20 <= alarms <= 160  # volatility changes every 30 grid bars
    assert set(labels) == set(LABELS)
    assert labels.count("unknown") < 900


def test_a_horizon_below_one_bar_is_refused() -> None:
    with pytest.raises(InvalidInput, match="HORIZON_BARS"):
        regime_state(0)
