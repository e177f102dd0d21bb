"""In which made-up markets is the best way known, so that a router can be held against it?

A world is a chain of four regimes. Six policies are each in the market (signal 1) or out of it (0), by a chain of their
own. While in, policy k earns in regime r a mean reward of means[r, k] plus noise of unit variance, half of it shared by
all policies, with the tails of Student's t with 4 degrees of freedom; rewards are clipped as the desk clips them. Four
features of the context each lean towards one regime, six are noise. All numbers come from seed and the world's number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from apps.engine.errors import InvalidInput
from apps.engine.observe import REWARD_CLIP
from apps.engine.rng import philox_uniform_nb
from apps.engine.router import N_CONTEXT
from apps.engine.values import Array1d, Array2d, IntArray1d

N_POLICIES, N_REGIMES = 6, 4
MAX_DECISIONS = 1_000_000
# About what the change detector does: changes seen and median delay as for a doubled volatility, false alarms as on
# clipped t4 input.
ALARM_SEEN, ALARM_DELAY, ALARM_FALSE = 0.75, 7.0, 1.65e-3

# Which uniform of a decision is used for what. 0 is the router's own draw, as on the desk.
DRAW_REGIME, DRAW_ALARM, DRAW_MARKET, DRAW_SIGNAL = 1, 3, 6, 8
DRAW_OWN = DRAW_SIGNAL + N_POLICIES
DRAW_CONTEXT = DRAW_OWN + N_POLICIES
DRAW_MEAN = DRAW_CONTEXT + 2 * N_CONTEXT


class WorldTerms(NamedTuple):
    """What all worlds of a score have in common. Stays are mean lengths in decisions."""

    decisions: int = 4000
    signal: float = 0.1  # sd of the mean rewards over regimes and policies, in reward-sd
    visibility: float = 1.0  # how far a regime moves its feature, in sd of the feature's noise
    regime_stay: float = 100.0
    signal_stay: float = 24.0
    persistence: float = 0.9  # of a feature's noise, from one decision to the next
    cost_bps: float = 12.0  # fee and half-spread, per unit of turnover
    move_bps: float = 200.0  # one reward-sd: how far the price moves until the next decision

    @property
    def cost(self) -> float:
        """Cost of a unit of turnover in reward-sd."""
        return self.cost_bps / self.move_bps


class World(NamedTuple):
    """One world, a row per decision. `rewards` are before costs and hold the signal: a policy that is out earns 0."""

    number: int
    cost: float
    visibility: float
    means: Array2d
    regimes: IntArray1d
    context: Array2d
    signals: Array2d
    rewards: Array2d
    alarms: IntArray1d


class Path(NamedTuple):
    """What somebody chose, decision by decision (N_POLICIES is cash), and how large."""

    chosen: IntArray1d
    sizes: Array1d


def world_of(terms: WorldTerms, seed: int, number: int) -> World:
    """The world of this number; equal arguments give an equal world."""
    terms_check(terms)
    n = terms.decisions
    means, regimes, alarms = np.zeros((N_REGIMES, N_POLICIES)), np.zeros(n, np.int64), np.zeros(n, np.int64)
    context, signals, rewards = np.zeros((n, N_CONTEXT)), np.zeros((n, N_POLICIES)), np.zeros((n, N_POLICIES))
    _regimes_nb(seed, number, terms.regime_stay, regimes, alarms)
    _context_nb(seed, number, terms.visibility, terms.persistence, regimes, context)
    _rewards_nb(seed, number, terms.signal, terms.signal_stay, regimes, means, signals, rewards)
    return World(number, terms.cost, terms.visibility, means, regimes, context, signals, rewards, alarms)


def terms_check(terms: WorldTerms) -> None:
    """Raises InvalidInput naming the term at fault."""
    if not 1 <= terms.decisions <= MAX_DECISIONS:
        raise InvalidInput(f"must be from 1 to {MAX_DECISIONS:,}", field="decisions")
    for name in ("signal", "visibility", "cost_bps"):
        if not 0.0 <= getattr(terms, name) < math.inf:
            raise InvalidInput("must be 0 or above", field=name)
    for name in ("regime_stay", "signal_stay"):
        if not 1.0 <= getattr(terms, name) < math.inf:
            raise InvalidInput("must be 1 or above", field=name)
    if not 0.0 < terms.move_bps < math.inf:
        raise InvalidInput("must be above 0", field="move_bps")
    if not 0.0 <= terms.persistence < 1.0:
        raise InvalidInput("must be from 0 to below 1", field="persistence")


def expected_rewards(world: World) -> Array2d:
    """What each policy earns on average at each decision, given the regime and its signal."""
    return np.asarray(world.means[world.regimes] * world.signals)


def oracle_path(world: World) -> Path:
    """The most that can be expected by anybody who does not know the noise.

    The oracle knows all means and the whole course of regimes and signals, and plans its turnover over it (dynamic
    programming, position in or out of the market). No rule that sees less can expect more.
    """
    chosen = np.empty(world.regimes.shape[0], np.int64)
    _oracle_nb(expected_rewards(world), world.signals, world.cost, chosen)
    return Path(chosen, np.ones(chosen.shape[0]))


def informed_path(world: World) -> Path:
    """What the router's rule would do if it had nothing left to learn.

    It knows the means, judges the regime by Bayes' rule from the context at hand, and subtracts the cost of switching.
    """
    chosen = np.empty(world.regimes.shape[0], np.int64)
    _informed_nb(world.context, world.signals, world.means, world.visibility, world.cost, chosen)
    return Path(chosen, np.ones(chosen.shape[0]))


def fixed_path(world: World, policy: int) -> Path:
    """One policy (or cash, N_POLICIES) all along."""
    n = world.regimes.shape[0]
    return Path(np.full(n, policy, np.int64), np.ones(n))


def steady_path(world: World) -> Path:
    """The policy that is best on average over the regimes, known beforehand and kept; cash if none earns anything."""
    averages = world.means.mean(axis=0)
    best = int(np.argmax(averages))
    return fixed_path(world, best if averages[best] > 0.0 else N_POLICIES)


@njit(cache=True, error_model="numpy", nogil=True)
def _normal_nb(seed: int, number: int, t: int, draw: int) -> float:
    """A standard normal from two uniforms (Box and Muller)."""
    first, second = philox_uniform_nb(seed, number, t, draw), philox_uniform_nb(seed, number, t, draw + 1)
    return math.sqrt(-2.0 * math.log(1.0 - first)) * math.cos(2.0 * math.pi * second)


@njit(cache=True, error_model="numpy", nogil=True)
def _tailed_nb(u: float) -> float:
    """The quantile of Student's t with 4 degrees of freedom (a closed form), scaled to unit variance."""
    alpha = 4.0 * max(u, 1e-12) * (1.0 - max(u, 1e-12))
    root = math.sqrt(alpha)
    size = 2.0 * math.sqrt(max(math.cos(math.acos(root) / 3.0) / root - 1.0, 0.0))
    return math.copysign(size, u - 0.5) / math.sqrt(2.0)


@njit(cache=True, error_model="numpy", nogil=True)
def _regimes_nb(seed: int, number: int, stay: float, regimes: IntArray1d, alarms: IntArray1d) -> None:
    """The chain of regimes, and the alarms of a detector that sees most changes late and some that are none."""
    n = regimes.shape[0]
    regimes[0] = int(philox_uniform_nb(seed, number, 0, DRAW_REGIME) * N_REGIMES)
    for t in range(n):
        if philox_uniform_nb(seed, number, t, DRAW_ALARM) < ALARM_FALSE:
            alarms[t] = 1
        if t == 0:
            continue
        regimes[t] = regimes[t - 1]
        if philox_uniform_nb(seed, number, t, DRAW_REGIME) * stay < 1.0:
            step = 1 + int(philox_uniform_nb(seed, number, t, DRAW_REGIME + 1) * (N_REGIMES - 1))
            regimes[t] = (regimes[t - 1] + step) % N_REGIMES
            wait = -math.log(1.0 - philox_uniform_nb(seed, number, t, DRAW_ALARM + 1)) * ALARM_DELAY / math.log(2.0)
            at = t + 1 + int(wait)
            if philox_uniform_nb(seed, number, t, DRAW_ALARM + 2) < ALARM_SEEN and at < n:
                alarms[at] = 1


@njit(cache=True, error_model="numpy", nogil=True)
def _context_nb(
    seed: int, number: int, visibility: float, persistence: float, regimes: IntArray1d, context: Array2d
) -> None:
    """x0 = 1; features 1 to 4 lean towards their regime; noise is autocorrelated with unit variance; clipped at 3."""
    fresh = math.sqrt(1.0 - persistence * persistence)
    noise = np.zeros(context.shape[1])
    for t in range(context.shape[0]):
        context[t, 0] = 1.0
        for j in range(1, context.shape[1]):
            drawn = _normal_nb(seed, number, t, DRAW_CONTEXT + 2 * j)
            noise[j] = drawn if t == 0 else persistence * noise[j] + fresh * drawn
            lean = 0.0
            if j <= N_REGIMES:
                lean = visibility * ((1.0 if regimes[t] == j - 1 else 0.0) - 1.0 / N_REGIMES)
            context[t, j] = min(max(noise[j] + lean, -3.0), 3.0)


@njit(cache=True, error_model="numpy", nogil=True)
def _rewards_nb(
    seed: int, number: int, signal: float, stay: float, regimes: IntArray1d,
    means: Array2d, signals: Array2d, rewards: Array2d,
) -> None:  # fmt: skip
    """Mean rewards by regime and policy, then who is in the market and what it earns."""
    half = math.sqrt(0.5)
    for r in range(means.shape[0]):
        for k in range(means.shape[1]):
            means[r, k] = signal * _normal_nb(seed, number, r, DRAW_MEAN + 2 * k)
    for t in range(regimes.shape[0]):
        shared = _tailed_nb(philox_uniform_nb(seed, number, t, DRAW_MARKET))
        for k in range(means.shape[1]):
            u = philox_uniform_nb(seed, number, t, DRAW_SIGNAL + k)
            if t == 0:
                signals[t, k] = 1.0 if u < 0.5 else 0.0
            else:
                signals[t, k] = 1.0 - signals[t - 1, k] if u * stay < 1.0 else signals[t - 1, k]
            own = _tailed_nb(philox_uniform_nb(seed, number, t, DRAW_OWN + k))
            reward = signals[t, k] * (means[regimes[t], k] + half * shared + half * own)
            rewards[t, k] = min(max(reward, -REWARD_CLIP), REWARD_CLIP)


@njit(cache=True, error_model="numpy", nogil=True)
def _oracle_nb(expected: Array2d, signals: Array2d, cost: float, chosen: IntArray1d) -> None:
    """Backwards: value of leaving decision t out of (0) or in (1) the market; forwards: the choices."""
    n, n_policies = signals.shape
    inside = np.full(n, n_policies)  # the best policy that is in the market; n_policies if none is
    value = np.zeros((n + 1, 2))
    for t in range(n - 1, -1, -1):
        for k in range(n_policies):
            if signals[t, k] == 1.0 and (inside[t] == n_policies or expected[t, k] > expected[t, inside[t]]):
                inside[t] = k
        for held in range(2):
            out = value[t + 1, 0] - cost * held
            value[t, held] = out
            if inside[t] < n_policies:
                value[t, held] = max(out, expected[t, inside[t]] + value[t + 1, 1] - cost * (1 - held))
    held = 0
    for t in range(n):
        out = value[t + 1, 0] - cost * held
        chosen[t] = inside[t] if value[t, held] > out else n_policies
        held = 1 if chosen[t] < n_policies else 0


@njit(cache=True, error_model="numpy", nogil=True)
def _informed_nb(
    context: Array2d, signals: Array2d, means: Array2d, visibility: float, cost: float, chosen: IntArray1d
) -> None:
    """Regimes are equally likely beforehand and lean alike, so their odds are exp(visibility x feature)."""
    n, n_policies = signals.shape
    odds = np.zeros(means.shape[0])
    position = 0.0
    for t in range(n):
        total = 0.0
        for r in range(means.shape[0]):
            odds[r] = math.exp(visibility * context[t, r + 1])
            total += odds[r]
        chosen[t], best = n_policies, -cost * position
        for k in range(n_policies):
            believed = 0.0
            for r in range(means.shape[0]):
                believed += odds[r] / total * means[r, k]
            score = 0.5 * believed - cost * abs(signals[t, k] - position)  # a policy is in half of the time
            if score > best:
                chosen[t], best = k, score
        position = signals[t, chosen[t]] if chosen[t] < n_policies else 0.0
