"""How likely is a Student-t value: cdf, tail, density and quantile for df >= 8, without scipy and without libraries.

The tail is written in a normal-like deviate w, in which all t distributions look nearly alike:

    w = sqrt(df log1p(t^2 / df)),   Q(t) = exp(-w^2 / 2) R(y, s),   y = 4.4 w / (w + 10) - 1,   s = 16 / df - 1,

R a polynomial of degree 14 in y whose coefficients are polynomials of degree 8 in s. It was fitted once to
scipy.special.stdtr: Chebyshev nodes (64 in y, 24 in s), Chebyshev least squares in s, then weighted least squares in y
(weight exp(-0.85 w^2 / 2), reweighted 60 times towards the smallest largest error; Q(0) = 1/2 kept by a weight of 1e4),
then powers. The table's last column is the density at 0. tests/engine/test_student.py repeats the fit and compares.

Range: df in [8, inf). The router's df is 2a >= 2 a0 = 8; below that every function here answers NaN and nothing is
clamped, so that a caller's status check sees it. Error of cdf and tail: below 1e-12 absolute everywhere; relative to
the tail 2e-9 where the tail is above 1e-4. Beyond w = 25/3 (tail below 1e-16) R keeps its last value: still falling.

The scalar functions use libm; `student_block_nb` does the same for many t at once with its own log and exp, so that the
compiler can keep eight values in a register (libm calls would be five times the cost).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from apps.engine.values import Array2d

DF_MIN = 8.0
DF_TERMS = 9
W_TERMS = 15
DENSITY = 15  # column of the table that holds the density at 0
TABLE_COLUMNS = 16
W_MAX = 25.0 / 3.0

# Rows of a block's work array: read, multiplied into, and scratch.
AT, BELOW = 0, 1
DEVIATE, ONE_PLUS, LOST, EXPONENT, MANTISSA = 2, 3, 4, 5, 6
BLOCK_ROWS = 7

SQRT_HALF_BITS = np.uint64(0x3FE6A09E667F3BCD)
EXPONENT_MASK = np.uint64(0x7FF0000000000000)
EXPONENT_SHIFT = np.uint64(52)
TWO_52_BITS = np.uint64(0x4330000000000000)
TWO_52 = 4503599627370496.0
LN_2 = 0.6931471805599453
EXP_CENTER = 0.27
EXP_BACK = 3.1288976184971305e-08  # exp(-64 EXP_CENTER)

# Row: power of s. Column: power of y (0 to 14), then the density at 0.
TAIL_TEXT = """
0.14206764687124393 -0.11051181724259886 0.1071678011986731 -0.06266920466658317
0.03831857056864235 -0.02173893600962718 0.009530700928716605 -0.005006977985942149
0.0018908405685949812 -0.0006579302265339911 0.0003669764846622108 -7.901651238946028e-06
7.093877667518439e-05 1.3472309893175027e-05 7.229130159011154e-06 0.39276123046866473
0.018558005609217224 0.024989878008544505 0.008133014696818552 0.000630805666973268
-0.0029837629540113114 -0.003338823495188036 -0.0019742507888777187 -0.00043768662957748586
0.00048669086735768374 0.0007105991681434156 0.0005130481071967559 0.0002324750648386247
6.102576402943166e-05 6.073485459231944e-06 -4.500325371005476e-07 -0.006125000234734096
-4.1793778504405165e-05 -0.00012917444314169467 -0.0012331519945439071 -0.0033454414772591317
-0.004237776089545804 -0.0029585549080117144 -0.0006465636193151282 0.0012062544196753018
0.0018619830755095368 0.0014453440290153191 0.0006050973490048882 -1.9712901871284756e-06
-0.00015991653663586006 -8.385248448076338e-05 -1.5274560359133244e-05 5.9562160032371154e-05
-9.839958241045911e-05 -0.0004769653089389672 -0.0010814176104986736 -0.001395828725259357
-0.0008643798024000768 0.00043134144672798134 0.0017538692361716312 0.002310532518055134
0.001812896101362494 0.0006245848541652145 -0.00047766722378778234 -0.000876284110704794
-0.0006198766108716138 -0.00022801387753412436 -3.565771105443205e-05 3.3831529443908723e-06
4.353074608679562e-06 3.2073383819774774e-05 0.00013075244689641417 0.00036299760376255833
0.0007319623041215493 0.0010919212043094058 0.0011705988851147243 0.0007593259223874294
-6.744937261524042e-05 -0.0009122436345454679 -0.0013011615671281412 -0.001084237117216312
-0.0005713943083774133 -0.00017664083770966253 -2.446493781284656e-05 -1.4337810971834882e-07
8.482291157510612e-07 6.400517382285276e-06 2.3987558664837247e-05 5.4790367063405566e-05
7.29245540733478e-05 1.5712122010797924e-05 -0.00018178718793746316 -0.0005028040344948535
-0.000780545310355532 -0.0007842223675863865 -0.0004758457806745735 -0.0001100947312898462
5.8665433367893066e-05 4.903547750591958e-05 1.0569854337061368e-05 -1.271906409703582e-08
-9.778166027313351e-08 -9.327381293309249e-07 -4.8747012034280256e-06 -1.7618758503340574e-05
-4.79720513477126e-05 -0.00010252124037466161 -0.00017264088750830713 -0.00021429173394666573
-0.00014614268013924303 7.365013021609569e-05 0.00033097440997346267 0.0004181973958409767
0.0002879882905527549 0.00010813091640006489 1.7379372835885087e-05 1.4768935327947017e-09
-6.956945279290572e-09 -6.231531902560708e-08 -2.782623376874888e-07 -7.255645404980122e-07
-7.732390190192859e-07 2.540422788469693e-06 1.6334135086203518e-05 4.9293810425441115e-05
9.89571799215527e-05 0.00013943972824201172 0.00013781645277961482 9.305175669047094e-05
4.059053078857289e-05 1.0211167868673376e-05 1.1091658815853833e-06 8.16046152875133e-11
2.0942944092882258e-09 2.2240503440336474e-08 1.3149022128601373e-07 5.461377636960074e-07
1.7706728626900903e-06 4.807204791943017e-06 1.0847309025573739e-05 1.8047328392761103e-05
1.6295288865970686e-05 -6.494635250561907e-06 -4.188204149700161e-05 -5.9014966017403685e-05
-4.357691400826841e-05 -1.7192637868250482e-05 -2.8672274490354477e-06 -4.6929551818031716e-11
"""
TAIL_TABLE = np.array(TAIL_TEXT.split(), dtype=np.float64).reshape(DF_TERMS, TABLE_COLUMNS)


@njit(cache=True, error_model="numpy", nogil=True)
def student_tail_nb(t: float, df: float) -> float:
    """P(T > t), absolute error below 1e-12. NaN if t is NaN or df is outside [8, inf)."""
    if not (df >= DF_MIN and df < math.inf) or math.isnan(t):
        return math.nan
    x = abs(t)
    w_squared = df * math.log1p(x / df * x)
    if w_squared > 1400.0:  # exp would be subnormal
        tail = 0.0
    else:
        w = min(math.sqrt(w_squared), W_MAX)
        y = 4.4 * w / (w + 10.0) - 1.0
        s = 16.0 / df - 1.0
        ratio = 0.0
        for p in range(W_TERMS - 1, -1, -1):
            coefficient = 0.0
            for q in range(DF_TERMS - 1, -1, -1):
                coefficient = coefficient * s + TAIL_TABLE[q, p]
            ratio = ratio * y + coefficient
        tail = math.exp(-0.5 * w_squared) * ratio
    return 1.0 - tail if t < 0.0 else tail


@njit(cache=True, error_model="numpy", nogil=True)
def student_cdf_nb(t: float, df: float) -> float:
    """P(T <= t), absolute error below 1e-12. NaN if t is NaN or df is outside [8, inf)."""
    return student_tail_nb(-t, df)


@njit(cache=True, error_model="numpy", nogil=True)
def student_pdf_nb(t: float, df: float) -> float:
    """Density at t, relative error below 1e-11 times (1 + w^2 / 100). NaN if t is NaN or df is outside [8, inf)."""
    if not (df >= DF_MIN and df < math.inf) or math.isnan(t):
        return math.nan
    s = 16.0 / df - 1.0
    peak = 0.0
    for q in range(DF_TERMS - 1, -1, -1):
        peak = peak * s + TAIL_TABLE[q, DENSITY]
    return peak * math.exp(-0.5 * (df + 1.0) * math.log1p(abs(t) / df * abs(t)))


@njit(cache=True, error_model="numpy", nogil=True)
def student_quantile_nb(p: float, df: float) -> float:
    """The t with P(T <= t) = p, error below 1e-9 for p in [1e-3, 1 - 1e-3]; worse further out, where the tail itself is
    known less well. -inf at 0, inf at 1; NaN if p is NaN or outside [0, 1], or df is outside [8, inf).
    """
    if not (p >= 0.0 and p <= 1.0 and df >= DF_MIN and df < math.inf):
        return math.nan
    if p == 0.5:
        return 0.0
    tail = min(p, 1.0 - p)
    if tail == 0.0:
        return -math.inf if p < 0.5 else math.inf
    # Abramowitz & Stegun 26.2.23 for the normal deviate, which is near w; three or four Halley steps remain.
    root = math.sqrt(-2.0 * math.log(tail))
    above = 2.515517 + root * (0.802853 + root * 0.010328)
    below = 1.0 + root * (1.432788 + root * (0.189269 + root * 0.001308))
    w = max(root - above / below, 0.0)
    t = math.sqrt(df * math.expm1(w * w / df))
    for _ in range(16):
        newton = (student_tail_nb(t, df) - tail) / student_pdf_nb(t, df)
        bend = 1.0 - 0.5 * newton * (df + 1.0) * t / (df + t * t)
        step = newton / max(bend, 0.5)
        t = max(t + step, 0.0)
        if abs(step) <= 1e-14 * (1.0 + t):
            break
    return -t if p < 0.5 else t


@njit(cache=True, error_model="numpy", nogil=True)
def student_coefficients_nb(work: Array2d, row: int, df: float) -> None:
    """Write R's coefficients and the density at 0 for this df into the first 16 places of a row."""
    s = 16.0 / df - 1.0
    for p in range(TABLE_COLUMNS):
        work[row, p] = TAIL_TABLE[DF_TERMS - 1, p]
    for q in range(DF_TERMS - 2, -1, -1):
        for p in range(TABLE_COLUMNS):
            work[row, p] = work[row, p] * s + TAIL_TABLE[q, p]


@njit(cache=True, error_model="numpy", nogil=True)
def student_block_nb(
    work: Array2d, n: int, loc: float, scale: float, df: float, coefficients: int, hazard: int
) -> None:
    """Multiply P(X <= z) into row BELOW and write density / P(X <= z) into row `hazard`, z being the first n of row AT.

    X = loc + scale T. `coefficients` is the row filled by student_coefficients_nb. Unchecked: scale > 0, df >= 8.
    Values beyond w = 25/3 count as that far out (below 1e-16), so the quotient never divides by zero.
    """
    _block_split_nb(work, n, loc, 1.0 / scale, 1.0 / df, math.expm1(W_MAX * W_MAX / df))
    c0, c1, c2, c3 = work[coefficients, 0], work[coefficients, 1], work[coefficients, 2], work[coefficients, 3]
    c4, c5, c6, c7 = work[coefficients, 4], work[coefficients, 5], work[coefficients, 6], work[coefficients, 7]
    c8, c9, c10, c11 = work[coefficients, 8], work[coefficients, 9], work[coefficients, 10], work[coefficients, 11]
    c12, c13, c14 = work[coefficients, 12], work[coefficients, 13], work[coefficients, 14]
    peak = work[coefficients, DENSITY] / scale
    for i in range(n):
        inverse = 1.0 / work[ONE_PLUS, i]
        # log by the series of 2 atanh(f): |f| <= 0.172, so g^9 / 19 is below 1e-15; LOST is what 1 + u rounded away.
        f = (work[MANTISSA, i] - 1.0) / (work[MANTISSA, i] + 1.0)
        g = f * f
        a = 1 / 9 + g * (1 / 11 + g * (1 / 13 + g * (1 / 15 + g * (1 / 17))))
        a = 1.0 + g * (1 / 3 + g * (1 / 5 + g * (1 / 7 + g * a)))
        log = (work[EXPONENT, i] - TWO_52) * LN_2 + 2.0 * f * a + work[LOST, i] * inverse
        w_squared = df * log
        w = math.sqrt(w_squared)
        y = 4.4 * w / (w + 10.0) - 1.0
        r = c8 + y * (c9 + y * (c10 + y * (c11 + y * (c12 + y * (c13 + y * c14)))))
        r = c0 + y * (c1 + y * (c2 + y * (c3 + y * (c4 + y * (c5 + y * (c6 + y * (c7 + y * r)))))))
        # exp(-w^2 / 2) as the 64th power of a Taylor series, whose argument is at most 0.28 from its center.
        x = EXP_CENTER - w_squared * (1.0 / 128.0)
        e = 1 / 120 + x * (1 / 720 + x * (1 / 5040 + x * (1 / 40320 + x * (1 / 362880 + x * (1 / 3628800)))))
        e = 1.0 + x * (1.0 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * e))))
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e
        e = e * e * EXP_BACK
        tail = e * r
        below = 1.0 - tail if work[DEVIATE, i] >= 0.0 else tail
        work[BELOW, i] *= below
        work[hazard, i] = peak * e * math.sqrt(inverse) / below


@njit(cache=True, error_model="numpy", nogil=True)
def _block_split_nb(work: Array2d, n: int, loc: float, inverse_scale: float, inverse_df: float, cap: float) -> None:
    """1 + t^2 / df as a power of 2 and a factor in [0.707, 1.414]. Integer and float loops apart, to vectorize."""
    bits = work.view(np.uint64)
    for i in range(n):
        t = (work[AT, i] - loc) * inverse_scale
        u = t * t * inverse_df
        u = u if u < cap else cap
        work[DEVIATE, i] = t
        work[ONE_PLUS, i] = 1.0 + u
        work[LOST, i] = u - ((1.0 + u) - 1.0)
    for i in range(n):
        above = bits[ONE_PLUS, i] - SQRT_HALF_BITS
        bits[MANTISSA, i] = bits[ONE_PLUS, i] - (above & EXPONENT_MASK)
        bits[EXPONENT, i] = (above >> EXPONENT_SHIFT) | TWO_52_BITS
