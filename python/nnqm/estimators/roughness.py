r"""Commutator, momentum and uncertainty product from the roughness of paths.

They follow from the mean squared increments V(l) = <(x(t+l) - x(t))^2> at a list of lags. For the limit l -> 0 the
estimates at the lags dt, 2 dt, ..., K dt are extrapolated with the polynomial through them,

.. math:: q(0) \approx \sum_{k=1}^K w_k\, q(k\,dt), \qquad w_k = (-1)^{k+1} \binom{K}{k} .

K is the number of lags with the smallest sum of statistical and systematic error in quadrature. The systematic error
is the remaining dt dependence. If the changes r_K = |q_K - q_(K-1)| fall as K^-p, the sum of all further changes is
K r_K/(p - 1). The systematic error is twice this sum, because p falls slowly with K if a network has sharp features.
Here r_K is at least its own error, because a change can be small by accident, and p comes from the last two
significant changes.

A rule that raises K until the change is small compared with the statistical error fails: the noise of the change is
itself 0.4 of that error, so that noise would raise K long after the bias has vanished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..representation import short_repr
from ..sampling.correlators import Correlators
from ..statistics.estimate import Estimate
from ..statistics.rules import extrapolation_weights
from ..verdict import Verdict

__all__ = [
    "Extrapolation",
    "commutator",
    "commutator_at_lags",
    "commutator_spread",
    "momentum_squared",
    "momentum_squared_at_lags",
    "quadratic_variation",
    "roughness_exponent",
    "uncertainty",
]

# Largest number of lags of an extrapolation; with more lags the weights (here up to 924) only amplify noise.
_MOST_LAGS = 12
# Smallest roughness exponent of a differentiable path, between 1/2 (Brownian) and 1 (differentiable).
_SMOOTH = 0.75
# Smallest roughness exponent at the smallest lag for any extrapolation; at a smaller one paths are uncorrelated over
# a single step.
_COARSE = 0.2
# Smallest exponent at the smallest lag for a converged limit.
_RESOLVING = 0.35
# Smallest exponent at the smallest lag at which a term in sqrt(dt) is distinguishable from a coarse grid.
_FINE = 0.4
# Smallest exponent of a Brownian path (the largest lies as far above 1/2); margin of this comparison, in units of the
# change of the exponent with the lag plus its error.
_LEAST_BROWNIAN, _FRACTIONAL = 0.45, 4.0
# Smallest significant change of the sequence, in its errors; assumed power of its decrease without significant changes.
_TELLING, _USUAL_POWER = 2.0, 3.0
# Smallest power used for the decrease of the changes.
_SLOWEST_POWER = 1.25
# Largest systematic error of a converged limit, in statistical errors.
_BALANCED = 5.0
# Largest systematic error of a converged limit relative to the value; the larger of the two limits applies.
_ACCURATE = 0.02
# Smallest significant term in sqrt(dt), and smallest significant difference from a canonical value, in errors.
_SIGNIFICANT = 5.0


@short_repr
@dataclass(frozen=True)
class Extrapolation:
    """A quantity in the limit dt -> 0.

    Attributes
    ----------
    estimate : Estimate or None
        Value of the limit, with a statistical error (jackknife). ``systematic`` contains the remaining dt dependence.
        None if the limit does not exist or is lost in noise; the verdict gives the reason.
    n_lags : int
        Number K of lags in the extrapolation; 0 without a value.
    verdict : Verdict
        Kind of limit; see the function that computed it.
    variable : str
        Variable of the extrapolation polynomial: "dt", or "sqrt(dt)" for kinks. Empty without a value.
    spread : Estimate or None
        Only for a commutator: its mean square over its squared mean, which is 1 for a c-number; extrapolated to
        dt -> 0 as well, with its own statistical and systematic error.
    """

    estimate: Estimate | None
    n_lags: int
    verdict: Verdict
    variable: str = ""
    spread: Estimate | None = None

    def __str__(self) -> str:
        value = "unknown" if self.estimate is None else str(self.estimate)
        how = f"{self.n_lags} lags" + (f" in powers of {self.variable}" if self.variable else "")
        spread = "" if self.spread is None else f"; spread {self.spread}"
        return f"{value} ({how}; {self.verdict}{spread})"


def quadratic_variation(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Mean squared increment :math:`V(l) = \langle (x_{t+l} - x_t)^2 \rangle`.

    It is averaged over all windows of the paths. The error is statistical. At the lags of the grid V has no
    discretisation error.

    Parameters
    ----------
    run : Correlators
        A run with increment lags.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.increment_lags``, in units of x^2.

    Raises
    ------
    InputError
        If the run contains no increments or fewer than two blocks.
    """
    return _increments(run, channel, lambda second, fourth: second)


def commutator_at_lags(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Commutator at finite lag, :math:`C(l) = m V(l)/(\hbar l)`, an estimate of :math:`[x, p]/(i\hbar)`.

    For an Ornstein-Uhlenbeck process with mass hbar/sigma^2 it is (1 - exp(-omega l))/(omega l). The error is
    statistical. It does not cover the difference from the limit l -> 0; see ``commutator``.

    Parameters
    ----------
    run : Correlators
        A run with increment lags.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.increment_lags``, without unit.

    Raises
    ------
    InputError
        If the run contains no increments or fewer than two blocks.

    Notes
    -----
    Nelson, Quantum Fluctuations (1985); Ferko and Halverson, arXiv:2504.05462.
    """
    factor = run.mass / run.hbar / _times(run)
    return _increments(run, channel, lambda second, fourth: second * factor)


def commutator(run: Correlators, channel: int | str = 0) -> Extrapolation:
    r"""Commutator :math:`[x, p]/(i\hbar) = \lim_{l \to 0} m V(l)/(\hbar l)`; if it is an operator, its mean.

    For x = f(y) of inputs with noise sigma_i it is :math:`(m/\hbar) \sum_i \sigma_i^2 \langle (\partial_i
    f)^2\rangle`. The extrapolation is in powers of dt. It is in powers of sqrt(dt) for a network with kinks (relu), and
    for given paths with a significant term in sqrt(dt). The statistical error is a jackknife error; the systematic
    error is the remaining dt dependence.

    Parameters
    ----------
    run : Correlators
        A run with increment lags 1 and 2, and preferably the following integers up to 12.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Extrapolation
        Without unit. The verdict is one of

        - "canonical": the commutator is 1 within errors, and no operator;
        - "c-number": it is no operator, but differs from 1 for this mass and hbar;
        - "operator": it fluctuates, as for x = f(y) with a nonlinear f;
        - "operator (kinked)": it fluctuates, and the limit is approached as sqrt(dt);
        - "none (smooth)": paths are differentiable (roughness exponent 1), and the commutator vanishes;
        - "none (fractional)": paths without a known theory have an exponent between 1/2 and 1 at these lags, and the
          commutator vanishes more slowly;
        - "diverges (fractional)": paths without a known theory have an exponent below 1/2 and are rougher than Brownian
          paths;
        - "none (constant)": the channel does not move;
        - "not converged": the remaining dt dependence exceeds both five statistical errors and 2%, or the step is too
          long for any value; use a smaller dt.

        ``spread`` decides between a c-number and an operator.

    Raises
    ------
    InputError
        If the run lacks increments or their lags 1 and 2.

    Examples
    --------
    >>> import nnqm
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 20_000, 64, 0.1, rng=1)
    >>> found = commutator(run)
    >>> found.verdict, found.variable, bool(abs(found.spread.pull(1.0)) < 3.5)
    ('canonical', 'dt', True)
    """
    kind = _kind(run, channel)
    if kind is _Kind.CONSTANT:
        return Extrapolation(_first(commutator_at_lags(run, channel)), 1, Verdict.CONSTANT)
    if kind is _Kind.COARSE:
        return Extrapolation(None, 0, Verdict.NOT_CONVERGED)
    if kind is _Kind.ROUGHER:
        return Extrapolation(None, 0, Verdict.DIVERGES_FRACTIONAL)
    if kind is _Kind.SMOOTHER:
        return Extrapolation(None, 0, Verdict.FRACTIONAL)
    estimate, n_lags, converged = _limit(run, channel, commutator_at_lags(run, channel), 1, kind)
    variable = "sqrt(dt)" if kind is _Kind.KINKED else "dt"
    if kind is _Kind.SMOOTH:
        return Extrapolation(estimate, n_lags, Verdict.SMOOTH, variable)
    spread, _, _ = _limit(run, channel, _spread(run, channel), 1, kind)
    excess = abs(float(spread.value) - 1)
    if not converged:
        verdict = Verdict.NOT_CONVERGED
    elif kind is _Kind.KINKED:
        verdict = Verdict.KINKED_OPERATOR
    elif excess > max(_SIGNIFICANT * float(spread.error), float(spread.systematic)):
        verdict = Verdict.OPERATOR
    else:
        verdict = Verdict.CANONICAL if abs(float(estimate.pull(1.0))) <= _SIGNIFICANT else Verdict.C_NUMBER
    return Extrapolation(estimate, n_lags, verdict, variable, spread)


def commutator_spread(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Spread of the commutator, its mean square over its squared mean, from the kurtosis of increments.

    .. math:: \langle \Delta x^4\rangle / (3 \langle\Delta x^2\rangle^2) \quad \text{at lag } dt

    For dt -> 0 and x = f(y) of one input it is :math:`\langle f'^4\rangle/\langle f'^2\rangle^2`. It is 1 for a
    c-number, and 1 at any dt for Gaussian paths. The error is statistical and does not cover the dependence on dt.

    Parameters
    ----------
    run : Correlators
        A run with increment lags 1 and 2.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Estimate
        A scalar without unit.

    Raises
    ------
    InputError
        If the run lacks increments or their lags 1 and 2, or the channel is constant.
    """
    _not_constant(run, channel)
    return _first(_spread(run, channel))


def momentum_squared_at_lags(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Mean squared momentum at finite lag, from two successive increments.

    .. math:: \langle p^2\rangle(l) = -m^2 \langle (x_{t+2l} - x_{t+l})(x_{t+l} - x_t)\rangle/l^2
              = m^2 \frac{V(l) - V(2l)/2}{l^2}

    The square of one increment would diverge (Feynman and Hibbs, Quantum Mechanics and Path Integrals, section 7-3).
    For the harmonic oscillator the product of the root of <p^2> and the spread of x is exactly (hbar/2) C(l). The error
    is statistical and does not cover the difference from the limit l -> 0; see ``momentum_squared``.

    Parameters
    ----------
    run : Correlators
        A run with increment lags 1, 2, ..., and their doubles.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Estimate
        Shape (k,), at the lags k = 1, 2, ... in steps for which 2k is a lag as well; in units of
        (mass x/time)^2.

    Raises
    ------
    InputError
        If the run lacks increments or their lags 1 and 2.
    """
    lags = _leading(run, 2)
    index = [run.increment_lags.index(k) for k in lags]
    double = [run.increment_lags.index(2 * k) for k in lags]
    factor = (run.mass / (np.asarray(lags) * run.dt)) ** 2
    return _increments(run, channel, lambda v, _: factor * (v[:, index] - v[:, double] / 2))


def momentum_squared(run: Correlators, channel: int | str = 0) -> Extrapolation:
    r"""Mean squared momentum :math:`\langle p^2\rangle`, the limit l -> 0 of ``momentum_squared_at_lags``.

    The statistical error is a jackknife error; the systematic error is the remaining dt dependence.

    Parameters
    ----------
    run : Correlators
        A run with increment lags 1, 2, ...; K lags of the extrapolation need lags up to 2K.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Extrapolation
        In units of (mass x/time)^2. The verdict is one of

        - "converged": the value may be used, with its errors;
        - "diverges (kinked)": no value, because <p^2> grows as 1/sqrt(dt);
        - "diverges (fractional)": no value, because paths are rougher or smoother than Brownian paths and not
          differentiable;
        - "negative (smooth)": p = i m dx/dt for differentiable paths, and its square is negative;
        - "none (constant)": the channel does not move;
        - "not converged": the remaining dt dependence exceeds both five statistical errors and 2%, or the step is too
          long for any value; use a smaller dt.

    Raises
    ------
    InputError
        If the run lacks increments or their lags 1 and 2.
    """
    kind = _kind(run, channel)
    at_lags = momentum_squared_at_lags(run, channel)
    if kind is _Kind.CONSTANT:
        return Extrapolation(_first(at_lags), 1, Verdict.CONSTANT)
    if kind is _Kind.KINKED:
        return Extrapolation(None, 0, Verdict.DIVERGES_KINKED)
    if kind in (_Kind.ROUGHER, _Kind.SMOOTHER):
        return Extrapolation(None, 0, Verdict.DIVERGES_FRACTIONAL)
    if kind is _Kind.COARSE:
        return Extrapolation(None, 0, Verdict.NOT_CONVERGED)
    estimate, n_lags, converged = _limit(run, channel, at_lags, 2, kind)
    if kind is _Kind.SMOOTH:
        return Extrapolation(estimate, n_lags, Verdict.NEGATIVE, "dt")
    return Extrapolation(estimate, n_lags, Verdict.CONVERGED if converged else Verdict.NOT_CONVERGED, "dt")


def uncertainty(run: Correlators, channel: int | str = 0) -> Extrapolation:
    r"""Uncertainty product :math:`\Delta x\, \Delta p = \sqrt{\mathrm{Var}(x)\, \langle p^2\rangle}`.

    It is at least hbar/2 times the mean of the commutator, and equal to hbar/2 for the harmonic oscillator. The mean
    momentum is zero by time reversal. The statistical error covers both factors and their correlation. The systematic
    error follows from the systematic error of ``momentum_squared``.

    Parameters
    ----------
    run : Correlators
        A run with moments and with increment lags as for ``momentum_squared``.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Extrapolation
        In units of hbar. The verdict is the verdict of ``momentum_squared``, or "not resolved (noise)" if <p^2> does
        not exceed zero by three errors. There is no value in this case, and none if <p^2> is negative or has no value.

    Raises
    ------
    InputError
        If the run lacks moments, increments or their lags 1 and 2.
    """
    squared = momentum_squared(run, channel)
    p2 = squared.estimate
    if p2 is None or squared.verdict is Verdict.NEGATIVE:
        return Extrapolation(None, 0, squared.verdict)
    if squared.verdict is not Verdict.CONSTANT and not float(p2.value) > 3 * float(p2.error):
        return Extrapolation(None, 0, Verdict.LOST_IN_NOISE)
    product = run.moments(channel)[0].map_replicas(lambda v, p: np.sqrt(v * p), p2)
    systematic = 0.0
    if float(p2.value) > 0:
        systematic = float(product.value * p2.systematic / (2 * p2.value))
    return Extrapolation(product.with_systematic(systematic), squared.n_lags, squared.verdict, squared.variable)


def roughness_exponent(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Roughness (Hurst) exponent at the smallest lag, :math:`H = \tfrac12 \log_2 V(2\,dt)/V(dt)`.

    For dt -> 0 it is 1/2 for paths as rough as Brownian motion, which quantum mechanics needs, and 1 for differentiable
    paths. For an Ornstein-Uhlenbeck process it is log2(1 + exp(-omega dt))/2. The error is statistical and does not
    cover the dependence on dt.

    Parameters
    ----------
    run : Correlators
        A run with increment lags 1 and 2.
    channel : int or str, default 0
        Position or name of the channel x.

    Returns
    -------
    Estimate
        A scalar without unit.

    Raises
    ------
    InputError
        If the run lacks increments or their lags 1 and 2, or the channel is constant.
    """
    _not_constant(run, channel)
    return _exponents(run, channel)[0]


def _increments(run: Correlators, channel: int | str, function: Callable[[Floats, Floats], Floats]) -> Estimate:
    """Jackknife estimate of a function of V(l) and of the mean fourth power of increments, arrays (R, k)."""
    remedy = "simulate or accumulate on a uniform time grid with measure=Measure(increment_lags=range(1, 13))"
    run.need("increments", remedy)
    if not run.increment_lags:
        raise InputError(f"this run holds no increments; {remedy}")
    c = run.observables.index(channel)
    scale = run.observables.scale[c]
    windows = run.n_times - np.asarray(run.increment_lags)

    def evaluate(s: Mapping[str, Floats]) -> Floats:
        mean = s["increments"][:, c] / (s["paths"][:, None] * windows)[..., None]
        return function(scale**2 * mean[..., 0], scale**4 * mean[..., 1])

    estimate: Estimate = run.estimate(evaluate, "increments")
    return estimate


def _times(run: Correlators) -> Floats:
    return np.asarray(run.increment_lags) * (run.dt if run.increment_lags else 1.0)


def _leading(run: Correlators, multiple: int) -> list[int]:
    """Lags k = 1, 2, ..., K in steps, up to the first for which k or ``multiple`` k is missing."""
    missing = [k for k in (1, 2) if k not in run.increment_lags]
    if missing:
        raise InputError(
            f"increment_lags must hold 1 and 2 for this estimator; got {list(run.increment_lags)}; "
            "simulate with measure=Measure(increment_lags=range(1, 13))"
        )
    lags = []
    k = 1
    while k <= _MOST_LAGS and k in run.increment_lags and multiple * k in run.increment_lags:
        lags.append(k)
        k += 1
    return lags


def _first(estimate: Estimate) -> Estimate:
    return estimate[0]


def _spread(run: Correlators, channel: int | str) -> Estimate:
    def spread(second: Floats, fourth: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(fourth / (3 * second**2))

    return _increments(run, channel, spread)


def _is_constant(run: Correlators, channel: int | str) -> bool:
    _leading(run, 1)
    return not float(quadratic_variation(run, channel).value[0]) > 0


def _not_constant(run: Correlators, channel: int | str) -> None:
    if _is_constant(run, channel):
        name = run.channels[run.observables.index(channel)]
        raise InputError(f"channel {name} is constant: its increments are all zero; choose a channel that moves")


def _exponents(run: Correlators, channel: int | str) -> Estimate:
    """Roughness exponents between the lags 1 and 2, and between 2 and 4 if the run has lag 4."""
    pairs = [(1, 2)] + ([(2, 4)] if 4 in run.increment_lags else [])
    fine = [run.increment_lags.index(a) for a, _ in pairs]
    coarse = [run.increment_lags.index(b) for _, b in pairs]

    def exponents(v: Floats, _: Floats) -> Floats:
        # Without the only block that moves there is no exponent, and the error is unknown.
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log2(v[:, coarse] / v[:, fine]) / 2)

    return _increments(run, channel, exponents)


class _Kind(Enum):
    """Kind of paths at short times."""

    CONSTANT = "the channel does not move"
    SMOOTH = "differentiable"
    COARSE = "unknown, because steps are too long"
    ROUGHER = "rougher than Brownian paths, by a fractional exponent"
    SMOOTHER = "smoother than Brownian paths, by a fractional exponent"
    KINKED = "Brownian inputs through a function with kinks"
    ROUGH = "Brownian"


def _kind(run: Correlators, channel: int | str) -> _Kind:
    _leading(run, 1)
    if _is_constant(run, channel):
        return _Kind.CONSTANT
    found = _exponents(run, channel)
    exponents = found.value
    # Extrapolated to dt = 0, because the exponent of an Ornstein-Uhlenbeck process falls with dt from 1/2 to 0.
    limit = found.map_replicas(lambda h: h[..., 0] if h.shape[-1] == 1 else 2 * h[..., 0] - h[..., 1])
    if float(limit.value) > _SMOOTH:
        return _Kind.SMOOTH
    if float(exponents[0]) < _COARSE:
        return _Kind.COARSE
    # A known theory is Brownian or smooth at sufficiently short lags, whatever the exponents at these lags.
    if len(exponents) == 2 and run.theory is None:
        # A fractional exponent is the same at all lags; a change with the lag means a coarse grid or a kink.
        margin = _FRACTIONAL * (abs(float(exponents[0] - exponents[1])) + float(limit.error))
        if float(limit.value) + margin < _LEAST_BROWNIAN:
            return _Kind.ROUGHER
        if float(limit.value) - margin > 1 - _LEAST_BROWNIAN:
            return _Kind.SMOOTHER
    theory, name = run.theory, run.channels[run.observables.index(channel)]
    if theory is not None and theory.network is not None and name in theory.outputs:
        return _Kind.KINKED if "relu" in theory.network.activations else _Kind.ROUGH
    if theory is not None:
        return _Kind.ROUGH
    if float(exponents[0]) < _FINE or abs(float(_spread(run, channel)[0].pull(1.0))) < _SIGNIFICANT:
        # A Gaussian process has no kinks.
        return _Kind.ROUGH
    return _Kind.KINKED if _has_root_term(run, channel) else _Kind.ROUGH


def _has_root_term(run: Correlators, channel: int | str) -> bool:
    """Whether C(l) has a significant term in sqrt(l) in addition to powers of l."""
    lags = _leading(run, 1)
    at_lags = commutator_at_lags(run, channel)
    roots = []
    for used in range(3, len(lags) + 1):
        k = np.arange(1.0, used + 1)
        functions = np.stack([k**0.5, *(k**j for j in range(used - 1))])
        roots.append(_weighted(at_lags, np.linalg.solve(functions, np.eye(used)[0])))
    # A term that one or two further powers remove was due to a coarse grid, not to a root.
    for root, *better in zip(roots, roots[1:], roots[2:], strict=False):
        changes = [float(root.value - b.value) for b in better]
        if abs(float(root.value)) > _SIGNIFICANT * np.linalg.norm([float(root.error), *changes]):
            return True
    return False


def _weighted(at_lags: Estimate, weights: Floats) -> Estimate:
    return at_lags.map_replicas(lambda q: q[..., : len(weights)] @ weights)


def _limit(
    run: Correlators, channel: int | str, at_lags: Estimate, multiple: int, kind: _Kind
) -> tuple[Estimate, int, bool]:
    """Limit of a quantity at the leading lags, the number of lags used, and whether the sequence converged."""
    most = len(_leading(run, multiple))
    variable = 0.5 if kind is _Kind.KINKED else 1.0
    estimates = [_weighted(at_lags, extrapolation_weights(k, variable)) for k in range(1, most + 1)]
    if most == 1:
        # One lag allows no extrapolation, and the size of the dependence on dt is unknown.
        return estimates[0], 1, False
    values = np.array([float(e.value) for e in estimates])
    errors = np.array([float(e.error) for e in estimates])
    steps = [b.map_replicas(lambda new, old: new - old, a) for a, b in pairwise(estimates)]
    changes = np.array([abs(float(s.value)) for s in steps])
    noise = np.array([float(s.error) for s in steps])
    rest = np.empty(most - 1)
    power = _USUAL_POWER
    telling = True
    for i in range(most - 1):
        telling = telling and bool(changes[i] > _TELLING * noise[i])
        if telling and i > 0:
            # The smallest power so far: the true power falls with K, and noise can make a single one too large.
            measured = np.log(changes[i - 1] / changes[i]) / np.log((i + 2) / (i + 1))
            power = measured if i == 1 else min(power, measured)
        left = 2 * (i + 2) / (max(power, _SLOWEST_POWER) - 1)
        rest[i] = max(changes[i], noise[i]) * max(1.0, left)
    if kind is _Kind.KINKED:
        # Terms in powers of sqrt(dt) alternate in sign, so that a single change may be small by accident.
        rest[:-1] = np.maximum(rest[:-1], changes[1:])
    best = 1 + int(np.argmin(np.hypot(errors[1:], rest)))
    systematic = float(rest[best - 1])
    converged = bool(systematic <= max(_BALANCED * errors[best], _ACCURATE * abs(values[best])))
    # If the exponent at the smallest lag is far from 1/2, a feature is narrower than one step and no extrapolation
    # resolves it.
    if kind not in (_Kind.SMOOTH, _Kind.KINKED):
        converged = converged and float(_exponents(run, channel).value[0]) > _RESOLVING
    return estimates[best].with_systematic(systematic), best + 1, converged
