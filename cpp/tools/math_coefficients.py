"""Coefficients of the approximations in cpp/src/math.hpp.

Every fit is a weighted minimax approximation P(x) or P(x)/Q(x), found by the Remez exchange in multiple precision and then
rounded to float or double. The weight turns the error of the fitted factor into the relative error of the whole function,
so the error printed with each array is the error of the approximation alone, before any rounding.

Run `python3 cpp/tools/math_coefficients.py` (needs mpmath and numpy; ten seconds) for all fits, or with the names of some.
The output is the C++ arrays of math.hpp, lowest power first.
"""

import sys

import numpy as np
from mpmath import (
    cos,
    erf,
    erfc,
    exp,
    expm1,
    floor,
    frexp,
    ldexp,
    linspace,
    log,
    log1p,
    lu_solve,
    matrix,
    mp,
    mpf,
    nstr,
    pi,
    polyval,
    sin,
    sqrt,
    tanh,
    workdps,
)

mp.dps = 50
GRID = 60  # samples between two neighbouring Chebyshev points, among which extrema are searched


def remez(f, weight, low, high, degree_p, degree_q=0, rounds=12):
    """Fit P, Q (Q[0] = 1) that minimise the largest |weight * (P/Q - f)| on [low, high], and that error."""
    count = degree_p + degree_q + 2
    middle, half = (mpf(low) + high) / 2, (mpf(high) - low) / 2
    at = lambda s: middle - half * cos(pi * s)
    grid = [at(s) for s in linspace(0, 1, GRID * count + 1)]
    values, weights = [f(x) for x in grid], [max(weight(x), mpf(10) ** -9) for x in grid]
    chosen = [round(i * GRID * count / (count - 1)) for i in range(count)]
    level, q = mpf(0), [mpf(1)] + [mpf(0)] * degree_q
    for _ in range(rounds):
        for _ in range(8 if degree_q else 1):  # Q times the level is not linear: a fixed-point iteration
            rows, right = [], []
            for i, g in enumerate(chosen):
                x, y = grid[g], values[g] + (-1) ** i * level / weights[g]
                sign = (-1) ** (i + 1) / weights[g] * (polyval(q[::-1], x) if degree_q else 1)
                target = values[g] if not degree_q else y
                rows.append([x**j for j in range(degree_p + 1)] + [-y * x**j for j in range(1, degree_q + 1)] + [sign])
                right.append(target)
            solution = list(lu_solve(matrix(rows), matrix(right)))
            p, q = solution[: degree_p + 1], [mpf(1), *solution[degree_p + 1 : -1]]
            level = level + solution[-1] if degree_q else solution[-1]
        error = [
            w * (polyval(p[::-1], x) / polyval(q[::-1], x) - y) for x, y, w in zip(grid, values, weights, strict=False)
        ]
        peak = max(abs(e) for e in error)
        if peak < abs(level) * (1 + mpf(10) ** -3):
            break
        chosen = exchange(error, count)
    return p, q, peak


def exchange(error, count):
    """Indices of `count` extrema of alternating sign: one per run of equal sign, without the smaller ones at the ends."""
    runs = []
    for i, e in enumerate(error):
        if runs and (error[runs[-1]] > 0) == (e > 0):
            if abs(e) > abs(error[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > count:
        runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
    if len(runs) < count:
        raise ArithmeticError("the error alternates too few times: change the degrees")
    return runs


def rounded(x, bits):
    """Round x to `bits` significant bits."""
    mantissa, exponent = frexp(mpf(x))
    return ldexp(floor(ldexp(mantissa, bits) + mpf(1) / 2), exponent - bits)


def float_error(p, q, x, wanted, fused):
    """Largest relative error of x P(x^2)/Q(x^2) in float, evaluated as math.hpp does; infinite if it ends below 1."""
    z = x * x
    step = (lambda a, b, c: (a.astype(float) * b + c).astype(np.float32)) if fused else (lambda a, b, c: a * b + c)

    def value(c):
        c = [np.full_like(z, v) for v in c]
        c = [step(z, c[i + 1], c[i]) if i + 1 < len(c) else c[i] for i in range(0, len(c), 2)]
        y = c[-1]
        for v in c[-2::-1]:
            y = step(z * z, y, v)
        return y

    y = x * value(p) / value(q)
    return np.max(np.abs(np.minimum(y, 1) / wanted - 1)) if y[-1] >= 1 else np.inf


def best_scaled(p, q, high, f, tries=400):
    """Multiply P and Q by the factor in 1..2 whose rounded coefficients give the smallest error, fused or not."""
    x = np.linspace(0.001, float(high), 100001).astype(np.float32)
    with workdps(20):
        wanted = np.array([float(v * f(v * v)) for v in map(mpf, x.tolist())])
    scaled = [[[np.float32(float(c) * (1 + i / tries)) for c in cs] for cs in (p, q)] for i in range(tries)]
    worst = lambda pq: max(float_error(*pq, x, wanted, fused) for fused in (False, True))
    best = min(scaled, key=worst)
    return [[mpf(float(c)) for c in cs] for cs in best], worst(best)


def literal(x, kind):
    """A C++ literal of x that converts back to the same bits."""
    digits = nstr(rounded(x, 24 if kind == "float" else 53), 9 if kind == "float" else 17, strip_zeros=False)
    return digits + ("F" if kind == "float" else "")


def array(name, kind, values):
    lines, line = [], "   "
    for item in (literal(v, kind) for v in values):
        if len(line) + len(item) > 118:
            lines.append(line)
            line = "   "
        line += f" {item},"
    body = "\n".join([*lines, line])
    return f"constexpr {kind} {name}[] = {{\n{body.rstrip(',')}}};"


def split(x, bits):
    """Split x into a sum with one part per width in `bits`. Small multiples of the short leading parts are exact."""
    parts = []
    for b in bits:
        parts.append(rounded(x - sum(parts), b))
    return parts


def exp_rest(r):
    return mpf(1) / 2 + r / 6 + r * r / 24 if abs(r) < mpf(10) ** -12 else (expm1(r) - r) / r**2


def log_rest(f):
    return mpf(1) / 3 - f / 4 + f * f / 5 if abs(f) < mpf(10) ** -10 else (log1p(f) - f + f * f / 2) / f**3


def atanh_rest(z):
    s = sqrt(z)
    return mpf(2) / 3 + 2 * z / 5 + 2 * z * z / 7 if z < mpf(10) ** -12 else (log((1 + s) / (1 - s)) - 2 * s) / s**3


def sin_rest(z):
    r = sqrt(z)
    return -mpf(1) / 6 + z / 120 - z * z / 5040 if z < mpf(10) ** -12 else (sin(r) - r) / r**3


def cos_rest(z):
    return mpf(1) / 24 - z / 720 + z * z / 40320 if z < mpf(10) ** -10 else (cos(sqrt(z)) - 1 + z / 2) / z**2


def over_root(f, slope):
    """Return z -> f(x)/x at x = sqrt(z): an odd function as a function of the square of its argument."""
    return lambda z: mpf(slope) if z == 0 else f(sqrt(z)) / sqrt(z)


def cos_quarter_rest(z):
    return -(pi**2) / 8 + pi**4 * z / 384 if z < mpf(10) ** -14 else (cos(pi / 2 * sqrt(z)) - 1) / z


def scaled_tail(tail, k):
    """Return t -> (a + k) * tail(a) at t = (a - k)/(a + k), bounded and smooth on the half line: a polynomial in t fits."""

    def of(t):
        a = k * (1 + t) / (1 - t)
        return (a + k) * tail(a)

    return of


def normal_tail(a):
    return erfc(a / sqrt(mpf(2))) / 2 * exp(a * a / 2)


def error_tail(u):
    return erfc(u) * exp(u * u)


def fits():
    """All fits: name -> (kind, description, function, weight, low, high, degree of P, degree of Q)."""
    ln2_half, root = log(2) / 2 * mpf("1.001"), sqrt(mpf(2))
    eighth = (pi / 4 * mpf("1.001")) ** 2
    quarter = mpf("0.2501")
    inverse = lambda f: lambda z: 1 / abs(f(z))
    exp_weight = lambda r: r * r / abs(expm1(r)) if r else 0
    log_weight = lambda f: f**3 / log1p(f) if f else 0
    atanh_weight = lambda z: sqrt(z) ** 3 / log((1 + sqrt(z)) / (1 - sqrt(z))) if z else 0
    sin_weight = lambda z: sqrt(z) ** 3 / sin(sqrt(z)) if z else 0
    cos_weight = lambda z: z * z / cos(sqrt(z)) if z else 0
    quarter_weight = lambda z: z / cos(pi / 2 * sqrt(z)) if z else 0
    sin_quarter = over_root(lambda y: sin(pi / 2 * y), pi / 2)
    tanh_f, erf_z = over_root(tanh, 1), over_root(erf, 2 / sqrt(pi))
    s_high = (root - 1) / (root + 1) * mpf("1.001")
    tail_f, tail_d = scaled_tail(normal_tail, mpf(2)), scaled_tail(normal_tail, mpf(4))
    tail_weight = lambda u: erfc(u) / erf(u) / error_tail(u)
    return {
        "exp_f": ("float", "e^r = 1 + r + r^2 P(r), |r| < ln(2)/2", exp_rest, exp_weight, -ln2_half, ln2_half, 4, 0),
        "exp_d": ("double", "e^r = 1 + r + r^2 P(r), |r| < ln(2)/2", exp_rest, exp_weight, -ln2_half, ln2_half, 9, 0),
        "log_f": (
            "float",
            "ln(1+f) = f - f^2/2 + f^3 P(f), 1+f in sqrt(1/2)..sqrt(2)",
            log_rest,
            log_weight,
            1 / root - mpf("1.0001"),
            root - mpf("0.9999"),
            7,
            0,
        ),
        "log_d": (
            "double",
            "ln(1+f) = 2s + s^3 P(s^2), s = f/(2+f), 1+f in sqrt(1/2)..sqrt(2)",
            atanh_rest,
            atanh_weight,
            0,
            s_high**2,
            6,
            0,
        ),
        "sin_f": ("float", "sin r = r + r^3 P(r^2), |r| < pi/4", sin_rest, sin_weight, 0, eighth, 2, 0),
        "cos_f": ("float", "cos r = 1 - r^2/2 + r^4 P(r^2), |r| < pi/4", cos_rest, cos_weight, 0, eighth, 2, 0),
        "sin_d": ("double", "sin r = r + r^3 P(r^2), |r| < pi/4", sin_rest, sin_weight, 0, eighth, 5, 0),
        "cos_d": ("double", "cos r = 1 - r^2/2 + r^4 P(r^2), |r| < pi/4", cos_rest, cos_weight, 0, eighth, 5, 0),
        "sin_quarter_f": (
            "float",
            "sin(pi y/2) = y P(y^2), |y| < 1/2",
            sin_quarter,
            inverse(sin_quarter),
            0,
            quarter,
            3,
            0,
        ),
        "cos_quarter_f": (
            "float",
            "cos(pi y/2) = 1 + y^2 P(y^2), |y| < 1/2",
            cos_quarter_rest,
            quarter_weight,
            0,
            quarter,
            2,
            0,
        ),
        "sin_quarter_d": (
            "double",
            "sin(pi y/2) = y P(y^2), |y| < 1/2",
            sin_quarter,
            inverse(sin_quarter),
            0,
            quarter,
            6,
            0,
        ),
        "cos_quarter_d": (
            "double",
            "cos(pi y/2) = 1 + y^2 P(y^2), |y| < 1/2",
            cos_quarter_rest,
            quarter_weight,
            0,
            quarter,
            6,
            0,
        ),
        "tanh_f": ("float", "tanh x = x P(x^2)/Q(x^2), |x| < 9.02", tanh_f, inverse(tanh_f), 0, mpf("9.02") ** 2, 4, 4),
        "erf_f": ("float", "erf x = x P(x^2)/Q(x^2), |x| < 3.95", erf_z, inverse(erf_z), 0, mpf("3.95") ** 2, 5, 5),
        "erf_d": ("double", "erf x = x P(x^2), |x| < 1", erf_z, inverse(erf_z), 0, mpf("1.0001"), 11, 0),
        "erfc_d": ("double", "erfc u = e^(-u^2) P(u)/Q(u), u in 1..6", error_tail, tail_weight, mpf("0.999"), 6, 5, 5),
        "tail_f": (
            "float",
            "Phi(-a) = e^(-a^2/2) P(t)/(a+2), t = (a-2)/(a+2), a in 0..14.5",
            tail_f,
            inverse(tail_f),
            -1,
            mpf("12.5") / mpf("16.5"),
            10,
            0,
        ),
        "tail_d": (
            "double",
            "Phi(-a) = e^(-a^2/2) P(t)/(a+4), t = (a-4)/(a+4), a in 0..39",
            tail_d,
            inverse(tail_d),
            -1,
            mpf(35) / 43,
            21,
            0,
        ),
    }


def main(names):
    if not names:
        parts = {
            "ln2_f (multiples below 2^9 exact)": split(log(2), (15, 24)),
            "ln2_d (below 2^12)": split(log(2), (41, 53)),
            "half_pi (below 2^26)": split(pi / 2, (27, 27, 53)),
            "half_pi_float_in_double (below 2^26)": split(pi / 2, (27, 53)),
        }
        for name, values in parts.items():
            print(f"// {name}: " + ", ".join(nstr(v, 17) for v in values))
    table = fits()
    for name in names or table:
        kind, text, f, weight, low, high, degree_p, degree_q = table[name]
        p, q, peak = remez(f, weight, low, high, degree_p, degree_q)
        note = ""
        if degree_q and kind == "float":
            (p, q), total = best_scaled(p, q, sqrt(high), f)
            note = f", {total:.1e} in float arithmetic where it was sampled"
        print(f"// {text}: error {nstr(peak, 2)}{note}")
        print(array(name if not degree_q else name + "_p", kind, p))
        if degree_q:
            print(array(name + "_q", kind, q))


if __name__ == "__main__":
    main(sys.argv[1:])
