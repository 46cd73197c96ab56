r"""Commutator, momentum and uncertainty: what the roughness of paths says about quantum mechanics.

All of it follows from the mean squared increments V(l) = <(x(t+l) - x(t))^2> at a list of lags. Where the
limit l -> 0 is wanted, estimates at the lags dt, 2 dt, ..., K dt are extrapolated by the polynomial through
them,

.. math:: q(0) \approx \sum_{k=1}^K w_k\, q(k\,dt), \qquad w_k = (-1)^{k+1} \binom{K}{k} ,

K being the number of lags for which statistical and systematic error, in quadrature, are smallest. The
systematic error is what is left of the dt dependence. Changes r_K = |q_K - q_(K-1)| that fall as K^-p leave
K r_K/(p - 1) to come; as p falls slowly with K where a network has sharp features, twice that is taken, with r_K
not below its error (an accidentally small change says nothing) and p from the last two significant ones.
Raising K until the change is small against the statistical error is no alternative: the noise of the change is
itself 0.4 of that error, so that noise would go on raising K long after the bias is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from .._arguments import Floats
from ..errors import InputError
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

# Beyond so many lags the weights (up to 924) only amplify noise.
_MOST_LAGS = 12
# Roughness exponent between those of a Brownian (1/2) and of a differentiable (1) path.
_SMOOTH = 0.75
# Exponent at the smallest lag below which paths forget their past within a step: nothing extrapolates from
# there; and the one above which a term in the root of dt can be told from a coarse grid.
_COARSE, _RESOLVING = 0.2, 0.35
_FINE = 0.4
# An exponent below this, or as far above 1/2, by so many times its change with the lag and its error, is not 1/2.
_LEAST_BROWNIAN, _FRACTIONAL = 0.45, 4.0
# Changes must be so many of their errors to tell how fast they fall, and the power assumed where they do not.
_TELLING, _USUAL_POWER = 2.0, 3.0
# A slower fall than this power is taken for this one: the sequence does not converge in the lags there are.
_SLOWEST_POWER = 1.25
# Systematic error, in statistical ones or relative to the value, up to which a limit is called converged.
_BALANCED = 5.0
_ACCURATE = 0.02
# A term in sqrt(dt), or a difference from the canonical value, must be this many errors to be called one.
_SIGNIFICANT = 5.0


@dataclass(frozen=True)
class Extrapolation:
    """A quantity in the limit dt -> 0.

    Attributes
    ----------
    estimate : Estimate or None
        Statistical error by jackknife; what is left of the dt dependence in ``systematic``. None where
        the limit does not exist or cannot be told from noise, as the verdict says.
    n_lags : int
        Lags K that the value was extrapolated from; 0 without a value.
    verdict : Verdict
        Kind of limit; see the function that made it.
    variable : str
        "dt", or "sqrt(dt)" where kinks were found: the value is extrapolated in its powers. Empty without a value.
    spread : Estimate or None
        Of a commutator: its mean square over its squared mean, 1 for a c-number, extrapolated likewise, with its own
        statistical and systematic error.
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

    Averaged over all windows of the paths. The error is statistical; V is exact at the lags of the grid,
    whatever dt.

    Parameters
    ----------
    run : Correlators
        With increment lags.
    channel : int or str
        Channel x, by position or name.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.increment_lags``, in units of x^2.

    Raises
    ------
    InputError
        If the run holds no increments, or fewer than two blocks.
    """
    return _increments(run, channel, lambda second, fourth: second)


def commutator_at_lags(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Commutator at finite lag, :math:`C(l) = m V(l)/(\hbar l)`, an estimate of :math:`[x, p]/(i\hbar)`.

    For an Ornstein-Uhlenbeck process with mass hbar/sigma^2 it is (1 - exp(-omega l))/(omega l). The error is
    statistical and does not cover the distance to the limit l -> 0, for which see ``commutator``.

    Parameters
    ----------
    run, channel
        As for ``quadratic_variation``.

    Returns
    -------
    Estimate
        Shape (k,) at the lags ``run.increment_lags``, without unit.

    Raises
    ------
    InputError
        If the run holds no increments, or fewer than two blocks.

    Notes
    -----
    Nelson, Quantum Fluctuations (1985); Ferko and Halverson, arXiv:2504.05462.
    """
    factor = run.mass / run.hbar / _times(run)
    return _increments(run, channel, lambda second, fourth: second * factor)


def commutator(run: Correlators, channel: int | str = 0) -> Extrapolation:
    r"""Commutator :math:`[x, p]/(i\hbar) = \lim_{l \to 0} m V(l)/(\hbar l)`, its mean if it is an operator.

    For x = f(y) of inputs with noise sigma_i it is :math:`(m/\hbar) \sum_i \sigma_i^2 \langle (\partial_i
    f)^2\rangle`. A network with kinks (relu, or paths of which a term in the root of dt stands out of the
    noise) is extrapolated in powers of the root of dt.

    Parameters
    ----------
    run : Correlators
        With increment lags 1, 2 and as many of the following integers as there are.
    channel : int or str
        Channel x.

    Returns
    -------
    Extrapolation
        Without unit. The verdict is one of

        - "canonical": 1, and no operator, within errors;
        - "c-number": no operator, but not 1 with this mass and hbar;
        - "operator": it fluctuates, as for x = f(y) with f not linear;
        - "operator (kinked)": the same, approached as the root of dt;
        - "none (smooth)": paths are differentiable (roughness exponent 1), the commutator vanishes;
        - "none (fractional)": paths of which no theory is known have an exponent between 1/2 and 1 at these lags, so
          that it vanishes more slowly;
        - "diverges (fractional)": the same with an exponent below 1/2, rougher than Brownian paths;
        - "none (constant)": the channel does not move;
        - "not converged": what is left of the dt dependence exceeds five statistical errors and 2%, or a step is
          so long that there is no value at all; use a smaller dt.

        A verdict on a c-number or an operator is one on ``spread``, which stands beside it.

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
    r"""How much the commutator fluctuates, from the kurtosis of increments.

    .. math:: \langle \Delta x^4\rangle / (3 \langle\Delta x^2\rangle^2) \quad \text{at lag } dt

    For dt -> 0 and x = f(y), one input, it is :math:`\langle f'^4\rangle/\langle f'^2\rangle^2`, the mean
    square of the commutator over its squared mean: 1 for a c-number. For Gaussian paths it is 1 at any dt.
    The error is statistical.

    Parameters
    ----------
    run, channel
        As for ``quadratic_variation``.

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
    r"""Mean squared momentum at finite lag, from two increments that follow each other.

    .. math:: \langle p^2\rangle(l) = -m^2 \langle (x_{t+2l} - x_{t+l})(x_{t+l} - x_t)\rangle/l^2
              = m^2 \frac{V(l) - V(2l)/2}{l^2}

    (the square of one increment would diverge; Feynman and Hibbs, Quantum Mechanics and Path Integrals,
    section 7-3). For the harmonic oscillator the product of its root with the spread of x is (hbar/2) C(l)
    exactly. The error is statistical.

    Parameters
    ----------
    run, channel
        As for ``quadratic_variation``.

    Returns
    -------
    Estimate
        Shape (k,), at the lags k = 1, 2, ... in steps for which 2k is a lag as well; in units of (mass
        x/time)^2.

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

    K lags need increments up to lag 2K.

    Parameters
    ----------
    run, channel
        As for ``commutator``.

    Returns
    -------
    Extrapolation
        In units of (mass x/time)^2. The verdict is one of

        - "converged";
        - "diverges (kinked)": without a value, since <p^2> grows as the inverse root of dt;
        - "diverges (fractional)": without a value, since paths are rougher or smoother than Brownian ones and not
          differentiable;
        - "negative (smooth)": p = i m dx/dt of differentiable paths, whose squares are negative;
        - "none (constant)";
        - "not converged": what is left of the dt dependence exceeds five statistical errors and 2%, or a step is
          so long that there is no value at all; use a smaller dt.

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

    At least hbar/2 times the mean of the commutator; equal to hbar/2 for the harmonic oscillator. The mean
    momentum is zero by time reversal. Statistical errors of both factors and their correlation are covered;
    the systematic error is that of ``momentum_squared``.

    Parameters
    ----------
    run, channel
        As for ``commutator``.

    Returns
    -------
    Extrapolation
        In units of hbar. The verdict is that of ``momentum_squared``, or "not resolved (noise)". There is no
        value where <p^2> has none or is not positive by three errors.

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
    product = run.moments(channel)[0].map(lambda v, p: np.sqrt(v * p), p2)
    systematic = 0.0
    if float(p2.value) > 0:
        systematic = float(product.value * p2.systematic / (2 * p2.value))
    return Extrapolation(product.with_systematic(systematic), squared.n_lags, squared.verdict, squared.variable)


def roughness_exponent(run: Correlators, channel: int | str = 0) -> Estimate:
    r"""Roughness (Hurst) exponent at the smallest lag, :math:`H = \tfrac12 \log_2 V(2\,dt)/V(dt)`.

    1/2 for paths as rough as Brownian motion, which quantum mechanics needs, and 1 for differentiable ones,
    both for dt -> 0; an Ornstein-Uhlenbeck process has log2(1 + exp(-omega dt))/2. The error is statistical.

    Parameters
    ----------
    run, channel
        As for ``quadratic_variation``.

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
    """Jackknife of a function of V(l) and of the mean fourth power of increments, arrays (R, k)."""
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
    """Lags 1, 2, ..., K in steps, as far as k and ``multiple`` k are held."""
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
    return _increments(run, channel, lambda second, fourth: fourth / (3 * second**2))


def _is_constant(run: Correlators, channel: int | str) -> bool:
    _leading(run, 1)
    return not float(quadratic_variation(run, channel).value[0]) > 0


def _not_constant(run: Correlators, channel: int | str) -> None:
    if _is_constant(run, channel):
        name = run.channels[run.observables.index(channel)]
        raise InputError(f"channel {name} is constant: its increments are all zero; choose a channel that moves")


def _exponents(run: Correlators, channel: int | str) -> Estimate:
    """Roughness exponents between the lags (1, 2) and (2, 4), the second if the run has lag 4."""
    pairs = [(1, 2)] + ([(2, 4)] if 4 in run.increment_lags else [])
    fine = [run.increment_lags.index(a) for a, _ in pairs]
    coarse = [run.increment_lags.index(b) for _, b in pairs]
    return _increments(run, channel, lambda v, _: np.log2(v[:, coarse] / v[:, fine]) / 2)


class _Kind(Enum):
    """Kinds of paths at short times."""

    CONSTANT = "the channel does not move"
    SMOOTH = "differentiable"
    COARSE = "steps are too long to tell"
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
    # Extrapolated to dt = 0, because the exponent of an Ornstein-Uhlenbeck process falls with dt from 1/2 to
    # 0.
    limit = found.map(lambda h: h[..., 0] if h.shape[-1] == 1 else 2 * h[..., 0] - h[..., 1])
    if float(limit.value) > _SMOOTH:
        return _Kind.SMOOTH
    if float(exponents[0]) < _COARSE:
        return _Kind.COARSE
    # Networks are Brownian or smooth at lags short enough, however they look at these.
    if len(exponents) == 2 and run.theory is None:
        # What changes from one lag to the next is a coarse grid or a kink, and no fractional exponent.
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
    """Whether C(l) has a significant term in the root of l beside its powers."""
    lags = _leading(run, 1)
    at_lags = commutator_at_lags(run, channel)
    roots = []
    for used in range(3, len(lags) + 1):
        k = np.arange(1.0, used + 1)
        functions = np.stack([k**0.5, *(k**j for j in range(used - 1))])
        roots.append(_weighted(at_lags, np.linalg.solve(functions, np.eye(used)[0])))
    # What one or two powers more take away was not a root but a coarse grid.
    for root, *better in zip(roots, roots[1:], roots[2:], strict=False):
        changes = [float(root.value - b.value) for b in better]
        if abs(float(root.value)) > _SIGNIFICANT * np.linalg.norm([float(root.error), *changes]):
            return True
    return False


def _weighted(at_lags: Estimate, weights: Floats) -> Estimate:
    return at_lags.map(lambda q: q[..., : len(weights)] @ weights)


def _limit(
    run: Correlators, channel: int | str, at_lags: Estimate, multiple: int, kind: _Kind
) -> tuple[Estimate, int, bool]:
    """Limit of a quantity at the leading lags, the lags used, and whether the sequence converged."""
    most = len(_leading(run, multiple))
    variable = 0.5 if kind is _Kind.KINKED else 1.0
    estimates = [_weighted(at_lags, extrapolation_weights(k, variable)) for k in range(1, most + 1)]
    if most == 1:
        # Nothing to extrapolate from: the size of the dependence on dt is unknown.
        return estimates[0], 1, False
    values = np.array([float(e.value) for e in estimates])
    errors = np.array([float(e.error) for e in estimates])
    steps = [b.map(lambda new, old: new - old, a) for a, b in pairwise(estimates)]
    changes = np.array([abs(float(s.value)) for s in steps])
    noise = np.array([float(s.error) for s in steps])
    rest = np.empty(most - 1)
    power = _USUAL_POWER
    telling = True
    for i in range(most - 1):
        telling = telling and bool(changes[i] > _TELLING * noise[i])
        if telling and i > 0:
            # The smallest so far: the power falls with K, and noise must not make it look large.
            measured = np.log(changes[i - 1] / changes[i]) / np.log((i + 2) / (i + 1))
            power = measured if i == 1 else min(power, measured)
        left = 2 * (i + 2) / (max(power, _SLOWEST_POWER) - 1)
        rest[i] = max(changes[i], noise[i]) * max(1.0, left)
    if kind is _Kind.KINKED:
        # Powers of the root alternate in sign, so that two steps may agree by accident.
        rest[:-1] = np.maximum(rest[:-1], changes[1:])
    best = 1 + int(np.argmin(np.hypot(errors[1:], rest)))
    systematic = float(rest[best - 1])
    converged = bool(systematic <= max(_BALANCED * errors[best], _ACCURATE * abs(values[best])))
    # Far from Brownian at the smallest lag, a feature is narrower than a step, and no extrapolation sees it.
    if kind not in (_Kind.SMOOTH, _Kind.KINKED):
        converged = converged and float(_exponents(run, channel).value[0]) > _RESOLVING
    return estimates[best].with_systematic(systematic), best + 1, converged
