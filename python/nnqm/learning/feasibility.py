r"""Targets that no theory of a kind can have, found before a fit, with the inequality that fails.

The connected two-point function of a reversible process in continuous time is a positive sum of decays,

.. math:: G(t) = \int e^{-E t/\hbar} d\rho(E), \qquad \rho \ge 0 ,

and variance, commutator and <p^2> are integrals of 1, :math:`2 m E/\hbar^2` and :math:`(m E/\hbar)^2` over the same
measure (Kallen 1952, Lehmann 1954). A linear functional of these that is not negative for any decay but negative for
the targets excludes them. Simple ones come first: signs, falls, convex logarithms, dx dp >= (hbar/2) C. Then the most
significant one of all is found by non-negative least squares, whose residual is this functional (Farkas' lemma).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..quantum.measures import whole_steps
from ..statistics.matrices import eigenstates
from ..theories.theory import Theory
from .observables import Commutator, Gaps, Moments, MomentumSquared, NPoint, SpectralWeights, TwoPoint
from .positive_measures import nearest_measure
from .targets import Target

__all__: list[str] = []

# Violation of an inequality that excludes a measured target, in errors.
_SIGNIFICANT = 6.0

# Violation that excludes exact numbers, relative to their size: of signs and falls, which rounding could break, and of
# inequalities that become equalities for a single decay, which digits that are left out could break.
_ROUNDING, _DIGITS = 1e-9, 1e-4

# Smallest p-value of the nearest positive sum of decays.
_EXCLUDED = 1e-8

# Rates of decays that are looked at, relative to the inverse of the longest and of the shortest lag.
_SLOWEST, _FASTEST = 1e-3, 1e3

# Lowest levels of inputs of fixed frequencies of which a correlator is a sum.
_LATTICE = 100

# Relative distance of gaps that count as equal.
_SAME_GAP = 1e-6


@dataclass(frozen=True)
class _Number:
    """One target value with the deviation that chance or rounding explains."""

    value: float
    slack: float


def check_targets(theory: Theory, targets: Sequence[Target], free: Sequence[str]) -> None:
    """Raise InputError if the theory cannot take the target values at any value of its free parameters.

    Parameters
    ----------
    theory : Theory
    targets : sequence of Target
    free : sequence of str
        Names of the free parameters.

    Raises
    ------
    InputError
        The message names the target and the inequality that fails.
    """
    for target in targets:
        observable = target.observable
        if isinstance(observable, TwoPoint | NPoint):
            _check_times(theory, target)
        fault = next(_own_faults(theory, target), None)
        if fault is not None:
            raise InputError(f"target {target.label!r} is impossible: {fault}; {_remedy(target)}")
        if isinstance(observable, Gaps):
            _check_gaps(theory, target, free)
    channels = {getattr(t.observable, "channel", None) for t in targets} - {None}
    for channel in sorted(channels, key=str):
        own = [t for t in targets if getattr(t.observable, "channel", None) == channel]
        for fault in _joint_faults(theory, own):
            raise InputError(f"targets {', '.join(repr(t.label) for t in own)} are impossible together: {fault}")
        if _is_positive(theory):
            _check_measure(theory, own)


def _remedy(target: Target) -> str:
    if target.covariance is not None:
        return "check the signs and the covariance"
    return "no theory of this kind comes near; give the values with errors or a tolerance if they are not exact"


def _is_positive(theory: Theory) -> bool:
    """Whether connected two-point functions of the theory are positive sums of decays in continuous time."""
    return all(s.stationary and s.positive_because and s.step is None and s.period is None for s in theory.sources)


def _functional(target: Target, weights: Floats, exact: float = _ROUNDING) -> _Number:
    """A linear functional of the values, with six errors, the tolerances, or a part of exact numbers as slack."""
    value = float(weights @ target.values)
    if target.covariance is not None:
        return _Number(value, _SIGNIFICANT * float(np.sqrt(weights @ target.covariance @ weights)))
    if target.tolerance is not None:
        return _Number(value, float(np.abs(weights) @ target.tolerance))
    return _Number(value, exact * float(np.abs(weights) @ np.abs(target.values)))


def _entry(target: Target, i: int, exact: float = _ROUNDING) -> _Number:
    return _functional(target, np.eye(target.size)[i], exact)


def _text(target: Target, i: int) -> str:
    """A value with its error."""
    return f"{target.values[i]:.4g}" + ("" if target.errors is None else f" +- {target.errors[i]:.2g}")


# ---- times


def _check_times(theory: Theory, target: Target) -> None:
    """Raise InputError if the theory has no values at the times of a target."""
    observable = target.observable
    assert isinstance(observable, TwoPoint | NPoint)
    times, place = observable.times, f"target {target.label!r}: "
    if theory.period is not None and np.ptp(np.append(times, 0.0)) > theory.period * (1 + 1e-9):
        raise InputError(
            f"{place}times must lie within the period {theory.period:g} of the theory; got "
            f"{times.flat[int(np.abs(times).argmax())]:g}"
        )
    for source in theory.sources:
        if source.step is not None:
            relative = times if isinstance(observable, TwoPoint) else times - times[:, :1]
            try:
                whole_steps(relative, source.step)
            except InputError as error:
                raise InputError(f"{place}{error}") from None


# ---- targets by themselves


def _own_faults(theory: Theory, target: Target) -> Iterator[str]:
    """Inequalities that a target breaks by itself."""
    observable = target.observable
    if isinstance(observable, SpectralWeights):
        yield from _negative(target, "squares of matrix elements are not negative", lambda i: f"weight {i + 1}")
    elif isinstance(observable, Commutator):
        if all(s.oscillators is not None for s in theory.sources):
            reason = "C(0) = (m/hbar) sum_i sigma_i^2 E (d_i f)^2 is positive"
            yield from _negative(target, reason, lambda i: "C(0)", zero=True)
    elif isinstance(observable, MomentumSquared):
        if _is_positive(theory):
            yield from _negative(target, "the square of an operator is positive", lambda i: "<p^2>", zero=True)
    elif isinstance(observable, Gaps):
        yield from _gap_faults(target)
    elif isinstance(observable, Moments):
        yield from _moment_faults(target)
    elif isinstance(observable, TwoPoint):
        yield from _two_point_faults(theory, target)
    elif isinstance(observable, NPoint) and _is_positive(theory):
        yield from _reflected_faults(target)


def _negative(target: Target, reason: str, name: Callable[[int], str], zero: bool = False) -> Iterator[str]:
    for i in range(target.size):
        number = _entry(target, i)
        if number.value < -number.slack or (zero and number.value <= 0 and target.covariance is None):
            yield f"{reason}; got {name(i)} = {_text(target, i)}"


def _gap_faults(target: Target) -> Iterator[str]:
    for i in range(target.size):
        number = _entry(target, i)
        if number.value + number.slack <= 0 or (number.value <= 0 and target.covariance is None):
            yield f"gaps are positive, E_n > E_0; got gap {i + 1} = {_text(target, i)}"
        if i and target.values[i] < target.values[i - 1]:
            step = np.eye(target.size)[i] - np.eye(target.size)[i - 1]
            number = _functional(target, step)
            if number.value < -number.slack:
                yield f"gaps must increase; got gap {i + 1} = {_text(target, i)} < gap {i} = {_text(target, i - 1)}"


def _moment_faults(target: Target) -> Iterator[str]:
    """Hankel matrices of central moments are positive: m_2 >= 0, m_4 >= m_2^2, m_2 m_4 >= m_2^3 + m_3^2, ..."""
    assert isinstance(target.observable, Moments)
    place = {order: i for i, order in enumerate(target.observable.orders)}
    for order, i in place.items():
        number = _entry(target, i)
        if order >= 2 and order % 2 == 0 and number.value < -number.slack:
            yield f"even central moments are not negative; got moment {order} = {_text(target, i)}"
    even = sorted(k for k in place if k % 2 == 0)
    for low, high in pairwise(even):
        below, above = (float(target.values[place[k]]) for k in (low, high))
        if below <= 0:
            continue
        least, slope = below ** (high / low), high / low * below ** (high / low - 1)
        weights = np.eye(target.size)[place[high]] - slope * np.eye(target.size)[place[low]]
        if above - least < -_functional(target, weights, _DIGITS).slack:
            remark = " (kurtosis E z^4 >= 1)" if (low, high) == (2, 4) else ""
            yield (
                f"m_{high} >= m_{low}^{high / low:g}{remark} (Lyapunov); got m_{high} = {_text(target, place[high])} "
                f"and m_{low} = {_text(target, place[low])}"
            )
    known = {0: 1.0, 1: 0.0} | {order: float(target.values[i]) for order, i in place.items() if order >= 2}
    powers = [k for k in range(7) if 2 * k in known]
    # Principal minors need every sum of two powers.
    for size in range(2, len(powers) + 1):
        chosen = powers[:size]
        if any(a + b not in known for a in chosen for b in chosen):
            chosen = [p for p in chosen if p % 2 == chosen[-1] % 2]
        if len(chosen) < 2 or any(a + b not in known for a in chosen for b in chosen):
            continue
        scale = np.array([max(known[2 * p], 1e-300) ** -0.5 for p in chosen])
        matrix = np.array([[known[a + b] for b in chosen] for a in chosen]) * scale[:, None] * scale
        values, vectors = eigenstates(matrix)
        # The lowest eigenvalue is linear in the moments at its vector.
        v, weights = vectors[:, 0] * scale, np.zeros(target.size)
        for a, x in zip(chosen, v, strict=True):
            for b, y in zip(chosen, v, strict=True):
                if a + b >= 2:
                    weights[place[a + b]] += x * y
        slack = _functional(target, weights, _DIGITS).slack
        if values[0] < -max(slack, _ROUNDING):
            yield (
                f"moments form positive Hankel matrices (Cauchy and Schwarz), here powers {chosen}; got moments "
                f"{', '.join(f'm_{k} = {known[k]:.4g}' for k in sorted(known) if k >= 2)}"
            )
            return


def _two_point_faults(theory: Theory, target: Target) -> Iterator[str]:
    """Bounds of one correlator: |G| <= G(0), no negative value, no rise, and a convex logarithm."""
    assert isinstance(target.observable, TwoPoint)
    order = np.argsort(target.observable.times, kind="stable")
    times, unit = target.observable.times[order], np.eye(target.size)[order]
    if not all(s.stationary for s in theory.sources):
        return
    if times[0] <= 0:
        number = _functional(target, unit[0])
        if number.value < -number.slack:
            yield f"G(0) = E x^2 is not negative; got {_text(target, int(order[0]))}"
        for i in range(1, len(times)):
            for sign in (1, -1):
                number = _functional(target, unit[0] - sign * unit[i])
                if number.value < -number.slack:
                    yield f"|G(t)| <= G(0) (Cauchy and Schwarz); got G({times[i]:g}) = {_text(target, int(order[i]))}"
    if theory.period is not None or not _is_positive(theory):
        return
    for i in range(len(times)):
        number = _functional(target, unit[i])
        if number.value < -number.slack:
            yield (
                f"a positive sum of decays is not negative; got G({times[i]:g}) = {_text(target, int(order[i]))}; "
                "a connected function of one observable with itself is meant"
            )
    for i in range(1, len(times)):
        for j in {0, i - 1}:
            number = _functional(target, unit[j] - unit[i])
            if number.value < -number.slack and times[i] > times[j]:
                yield (
                    f"a positive sum of decays does not rise; got G({times[j]:g}) = {_text(target, int(order[j]))} < "
                    f"G({times[i]:g}) = {_text(target, int(order[i]))}"
                )
    for i in range(1, len(times) - 1):
        left, right = times[i] - times[i - 1], times[i + 1] - times[i]
        if left <= 0 or right <= 0 or np.any(target.values[order[i - 1 : i + 2]] <= 0):
            continue
        share = right / (left + right)
        before, here, after = (float(target.values[order[j]]) for j in (i - 1, i, i + 1))
        bend = share * np.log(before) + (1 - share) * np.log(after) - np.log(here)
        weights = share / before * unit[i - 1] + (1 - share) / after * unit[i + 1] - unit[i] / here
        if bend < -max(_functional(target, weights, _DIGITS).slack, _ROUNDING):
            yield (
                "the logarithm of a positive sum of decays is convex, G(t_1)^a G(t_3)^(1-a) >= G(t_2); it is not at "
                f"times {', '.join(f'{t:g}' for t in times[i - 1 : i + 2])}, where G = {before:.4g}, {here:.4g}, "
                f"{after:.4g}"
            )


def _reflected_faults(target: Target) -> Iterator[str]:
    """<Theta F F> >= 0 for products at times that are symmetric about their middle."""
    assert isinstance(target.observable, NPoint)
    rows = np.sort(target.observable.times, axis=1)
    span = np.ptp(rows, axis=1) + 1e-300
    for i, row in enumerate(rows):
        symmetric = np.allclose(row + row[::-1], row[0] + row[-1], atol=1e-9 * span[i], rtol=0)
        number = _entry(target, i)
        if len(row) % 2 == 0 and symmetric and number.value < -number.slack:
            yield (
                "reflection positivity: an n-point function at times that are symmetric about their middle is not "
                f"negative; got {_text(target, i)} at times {', '.join(f'{t:g}' for t in row)}"
            )


# ---- gaps


def _check_gaps(theory: Theory, target: Target, free: Sequence[str]) -> None:
    """Raise InputError if gaps are off the lattice of sums of input frequencies, or no free parameter moves them."""
    place = f"target {target.label!r} is impossible: "
    slack = np.array([max(_entry(target, i).slack, _SAME_GAP * abs(target.values[i])) for i in range(target.size)])
    moving = sorted({"omega", "potential", "state"} & set(free))
    if not moving:
        _check_fixed_gaps(theory, target, slack, place)
    elif theory.all_oscillators:
        _check_sums(theory, target, slack, place)


def _check_fixed_gaps(theory: Theory, target: Target, slack: Floats, place: str) -> None:
    from ..exact.energies import level_energies

    energies, counts = level_energies(theory, target.size)
    levels = np.repeat(energies, counts)[: target.size]
    for i, gap in enumerate(target.values):
        if i >= len(levels) or abs(gap - levels[i]) > slack[i]:
            nearest = energies[np.abs(energies - gap).argmin()]
            kind = "a sum of the frequencies of the inputs" if theory.all_oscillators else "a level of the inputs"
            own = (
                f"hbar omega = {', '.join(f'{theory.hbar * w:g}' for w in theory.omega)}"
                if (theory.all_oscillators)
                else "the potential is fixed"
            )
            same = "" if i >= len(levels) else f", and gap {i + 1} of the theory is {levels[i]:g}"
            raise InputError(
                f"{place}a network does not move levels; gap {i + 1} = {_text(target, i)} is off the lattice: {kind} "
                f"({own}); the nearest one is {nearest:g}{same}; free 'omega' or the parameters of a potential, or use "
                "other inputs"
            )


def _check_sums(theory: Theory, target: Target, slack: Floats, place: str) -> None:
    """Gaps of Ornstein-Uhlenbeck inputs: sums of few generators, every sum included."""
    gaps = target.values
    generators: list[float] = []
    for i, gap in enumerate(gaps):
        # A sum of k generators has k of their errors.
        slack_here = float(slack[i] + slack[0] * gap / gaps[0])
        sums = _sums(generators, float(gap + slack_here))
        if len(sums) > i and sums[i] < gap - slack_here:
            raise InputError(
                f"{place}sums of gaps of Ornstein-Uhlenbeck inputs are gaps; {sums[i]:g} is a sum of the gaps "
                f"{', '.join(f'{g:g}' for g in generators)} and lies below gap {i + 1} = {_text(target, i)}, but is "
                "not among the targets; use a GroundStateNetwork for gaps of your choice"
            )
        if len(sums) <= i:
            generators.append(float(gap))
        if len(generators) > theory.n_inputs:
            raise InputError(
                f"{place}gaps of {theory.n_inputs} Ornstein-Uhlenbeck inputs are sums of {theory.n_inputs} "
                f"frequencies; {', '.join(f'{g:g}' for g in generators)} are no sums of each other; use more inputs, "
                "or a GroundStateNetwork for gaps of your choice"
            )


def _sums(generators: Sequence[float], top: float) -> list[float]:
    """Sums of multiples of generators up to a largest one, without 0, ascending."""
    sums = [0.0]
    for g in generators:
        sums = [s + k * g for s in sums for k in range(int((top - s) / g) + 1)]
    return sorted(sums)[1:]


def nearest_on_lattice(theory: Theory, target: Target, free: Sequence[str]) -> float | None:
    """Smallest sum of squared residuals of a correlator that any network on inputs of fixed frequencies reaches.

    Parameters
    ----------
    theory : Theory
    target : Target
    free : sequence of str
        Names of the free parameters.

    Returns
    -------
    float or None
        None for other observables, other inputs, and free frequencies.
    """
    from scipy.optimize import nnls

    from ..exact.energies import level_energies

    observable = target.observable
    known = isinstance(observable, TwoPoint) and observable.connected and theory.all_oscillators
    if not known or "omega" in free:
        return None
    assert isinstance(observable, TwoPoint)
    rates = level_energies(theory, _LATTICE)[0] / theory.hbar
    # Levels beyond these contribute at t = 0 only.
    columns = np.column_stack([np.exp(-np.outer(observable.times, rates)), observable.times <= 0])
    columns = target.white @ columns
    scale = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
    _, distance = nnls(columns / scale, target.white @ target.values, maxiter=100 * len(rates))
    return float(distance**2)


# ---- several targets of one channel


def _first(targets: Sequence[Target], kind: type, order: int = 0) -> tuple[Target, int] | None:
    """A target of a kind and the place of a value in it: the moment of an order, G(0), or the only value."""
    for target in targets:
        observable = target.observable
        if not isinstance(observable, kind):
            continue
        if isinstance(observable, Moments):
            if order in observable.orders:
                return target, observable.orders.index(order)
        elif isinstance(observable, TwoPoint):
            if observable.connected and observable.times.min() <= 0:
                return target, int(observable.times.argmin())
        else:
            return target, 0
    return None


def _joint_faults(theory: Theory, targets: Sequence[Target]) -> Iterator[str]:
    """Inequalities between targets: sums of weights, and uncertainty."""
    variance = _first(targets, Moments, 2) or _first(targets, TwoPoint)
    if variance is None:
        return
    number, text = _entry(*variance, _DIGITS), _text(*variance)
    weights = next((t for t in targets if isinstance(t.observable, SpectralWeights)), None)
    if weights is not None and theory.n_inputs == 1:
        total = _functional(weights, np.ones(weights.size), _DIGITS)
        if total.value - number.value > total.slack + number.slack:
            yield (
                f"the sum of all spectral weights of excited states is the variance; got weights with the sum "
                f"{total.value:.4g} and the variance {text}"
            )
    commutator, momentum = _first(targets, Commutator), _first(targets, MomentumSquared)
    if commutator is not None and momentum is not None:
        c, p = _entry(*commutator, _DIGITS), _entry(*momentum, _DIGITS)
        most = (max(number.value, 0) + number.slack) * (max(p.value, 0) + p.slack)
        least = theory.hbar / 2 * (c.value - c.slack)
        if least > 0 and least**2 > most * (1 + _ROUNDING):
            yield (
                f"dx dp >= (hbar/2) C (Robertson); got dx^2 = {text}, <p^2> = {_text(*momentum)}, C = "
                f"{_text(*commutator)}"
            )


def _check_measure(theory: Theory, targets: Sequence[Target]) -> None:
    """Raise InputError if no positive measure of energies comes near all two-point targets of a channel."""
    from scipy.linalg import block_diag
    from scipy.special import chdtrc, chdtri

    found = [(t, integral) for t in targets if (integral := _integral(theory, t)) is not None]
    for alone in [t for t, _ in found if isinstance(t.observable, TwoPoint) and not t.observable.connected]:
        # It has a constant of its own.
        if len(found) > 1:
            _check_measure(theory, [alone])
            found = [(t, integral) for t, integral in found if t is not alone]
    if not found:
        return
    values = np.concatenate([t.values[integral.chosen] for t, integral in found])
    white = block_diag(*(_white(t, integral.chosen) for t, integral in found))
    squared, functional = nearest_measure(
        lambda e: np.concatenate([integral.kernel(e) for _, integral in found]),
        white,
        values,
        _rates([t for t, _ in found]),
        float(chdtri(len(values), _EXCLUDED)),
    )
    if chdtrc(len(values), squared) >= _EXCLUDED:
        return
    worst = functional / np.abs(functional).max()
    labels = ", ".join(repr(t.label) for t, _ in found)
    raise InputError(
        f"target{'s' if len(found) > 1 else ''} {labels}: no positive sum of decays comes nearer than chi^2 = "
        f"{squared:.3g} for {len(values)} values; the combination {_combination(worst)} of the values is not positive "
        f"for any decay exp(-E t/hbar), but is {float(worst @ values):.3g} here; give larger errors, or a tolerance, "
        "to fit them nevertheless"
    )


def _combination(weights: Floats) -> str:
    """The largest terms of a linear combination."""
    shown = np.flatnonzero(np.abs(weights) > 0.01)[:8]
    text = " ".join(f"{'-' if weights[i] < 0 else '+'} {abs(weights[i]):.3g} v[{i}]" for i in shown)
    return text.removeprefix("+ ") + (" ..." if np.count_nonzero(np.abs(weights) > 0.01) > len(shown) else "")


def _white(target: Target, chosen: list[int]) -> Floats:
    """Whitening of some values of a target; exact numbers have the width of digits that are left out."""
    if target.covariance is not None:
        part = target.covariance[np.ix_(chosen, chosen)]
        return np.asarray(np.linalg.inv(np.linalg.cholesky(part)))
    if target.tolerance is not None:
        return np.diag(_SIGNIFICANT / target.tolerance[chosen])
    width = _DIGITS * (float(np.abs(target.values[chosen]).max()) or 1.0)
    return np.eye(len(chosen)) * (_SIGNIFICANT / width)


def _rates(targets: Sequence[Target]) -> tuple[float, float]:
    """Lowest and highest rate of decays that differ at the lags of targets."""
    lags = [t.observable.times for t in targets if isinstance(t.observable, TwoPoint)]
    found = np.concatenate([*lags, np.zeros(0)])
    found = found[found > 0]
    if not found.size:
        return _SLOWEST**2, _FASTEST**2
    return _SLOWEST / float(found.max()), _FASTEST / float(found.min())


@dataclass(frozen=True)
class _Integral:
    """Values of a target that are integrals over the measure, and their kernel in E/hbar, (n,) to (K, n)."""

    chosen: list[int]
    kernel: Callable[[Floats], Floats]


def _integral(theory: Theory, target: Target) -> _Integral | None:
    observable = target.observable
    m, hbar = theory.mass, theory.hbar
    if isinstance(observable, TwoPoint):
        times = observable.times
        return _Integral(list(range(target.size)), lambda e: np.exp(-np.outer(times, e)))
    if isinstance(observable, Moments) and 2 in observable.orders:
        return _Integral([observable.orders.index(2)], lambda e: np.ones((1, len(e))))
    if isinstance(observable, Commutator):
        return _Integral([0], lambda e: (2 * m / hbar * e)[None])
    if isinstance(observable, MomentumSquared):
        return _Integral([0], lambda e: ((m * e) ** 2)[None])
    return None
