"""How likely is a Student-t value: cdf, tail, density and quantile for df >= 8, without scipy and without libraries.

The tail is written in a normal-like deviate w, in which all t distributions look nearly alike:

    w = sqrt(df log1p(t^2 / df)),   Q(t) = exp(-w^2 / 2) R(y, s),   y = 4.4 w / (w + 10) - 1,   s = 16 / df - 1,

R a polynomial of degree 14 in y whose coefficients are polynomials of degree 8 in s. It was fitted once to
scipy.special.stdtr: Chebyshev nodes (64 in y, 24 in s), Chebyshev least squares in s, then weighted least squares in y
(weight exp(-0.85 w^2 / 2), reweighted 60 times towards the smallest largest error), then powers. The last column of the
table is the density at 0. tests/engine/test_student.py repeats the fit and compares.

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
0.14206764687118678 -0.11051181724260473 0.10716780121385058 -0.06266920458547713
0.03831857025199209 -0.021738939120843338 0.009530696454665246 -0.005006958469548687
0.001890916028051014 -0.0006578658934436162 0.0003668500351320697 -8.26320074998293e-06
7.056497471183945e-05 1.3286360099900298e-05 7.192017808278711e-06 0.3927612304687509
0.018558005609008325 0.024989878006401074 0.008133014716431493 0.0006308058951486367
-0.00298376289839575 -0.0033388284608970573 -0.0019742644638667817 -0.00043767053873946485
0.00048681443120059386 0.0007107599222688023 0.0005129329246852028 0.00023193744075643486
6.040846904184651e-05 5.749603238765569e-06 -5.169200099827947e-07 -0.006125000234015497
-4.179377928371779e-05 -0.00012917444909730383 -0.0012331518861121737 -0.0033454405534895817
-0.004237777074520082 -0.0029585799668079707 -0.000646617922678239 0.0012063701547601808
0.0018626019607793118 0.0014460248746727578 0.0006043083189468251 -4.802417608476119e-06
-0.00016301529802372223 -8.544138977059092e-05 -1.5598066816981712e-05 5.956215654657613e-05
-9.839958339860043e-05 -0.00047696531335972005 -0.0010814174184292807 -0.001395827437899265
-0.0008643828901901511 0.000431299449884048 0.0017537949213976157 0.002310766059413226
0.0018139293766689306 0.0006255781258891528 -0.0004792324790777151 -0.0008811789818427387
-0.0006250677552418113 -0.00023063337113935455 -3.6185641343991146e-05 3.3831457081260424e-06
4.353074710601395e-06 3.2073390545503803e-05 0.00013075253668168096 0.0003629977065511655
0.0007319589390837523 0.0010919049609110427 0.0011705953257360833 0.0007594760461788931
-6.705517737796803e-05 -0.0009120817091998488 -0.0013021340088835022 -0.001086359717708319
-0.0005734024592445157 -0.00017759051827896948 -2.464807184020582e-05 -1.4335702512556042e-07
8.482303268775967e-07 6.400530171298333e-06 2.3987451708450994e-05 5.478906297159253e-05
7.292402071623046e-05 1.573956409315441e-05 -0.00018170909148729246 -0.0005028869482061373
-0.00078122824435899 -0.0007851314443561063 -0.00047524393858471687 -0.00010714580878658838
6.207602156206322e-05 5.0830852201255716e-05 1.0941358659494888e-05 -1.270157849316806e-08
-9.778095440866178e-08 -9.327335423816492e-07 -4.87481418467665e-06 -1.7619631348016393e-05
-4.797066798484389e-05 -0.00010249563645567484 -0.00017258985307794808 -0.0002144212233318271
-0.00014677619046535117 7.29945062283747e-05 0.0003318597132325757 0.00042116022064741165
0.0002911834812500308 0.00010975743015458235 1.7709044886823726e-05 1.4372418098434818e-09
-6.957133227602339e-09 -6.231809631715097e-08 -2.7825992009341993e-07 -7.253955035819355e-07
-7.726890317407608e-07 2.5388781609118893e-06 1.6323705777828053e-05 4.928395679733652e-05
9.899621526426416e-05 0.00013954404011500238 0.00013787430577970414 9.294944785929321e-05
4.04076335704974e-05 1.0099505887789517e-05 1.08416087431229e-06 6.98637102107736e-11
2.0941038211265986e-09 2.2238829488925635e-08 1.3151301520370785e-07 5.463558011890756e-07
1.7705539546607112e-06 4.801751202495672e-06 1.0834400869638474e-05 1.807003628434667e-05
1.6430535323759635e-05 -6.337018740634428e-06 -4.204012874379961e-05 -5.9625630440178685e-05
-4.4255478034552686e-05 -1.754316747976884e-05 -2.9389251067534275e-06 -2.410235021237538e-11
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
