r"""Karhunen-Loeve decompositions of covariance kernels: every mean-square continuous process is a network in time.

.. math:: x(t) = m(t) + \sum_k \theta_k \sqrt{\lambda_k}\, e_k(t), \qquad
          \int_a^b K(s, t)\, e_k(t)\, dt = \lambda_k e_k(s)

The neurons are the eigenfunctions e_k, the output weights uncorrelated numbers theta_k of variance 1, and the output
bias is the mean (Ferko and Halverson, arXiv:2504.05462; Ghanem and Spanos, Stochastic Finite Elements (1991), ch. 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, floats, integer, positive
from ..errors import InputError, InputTypeError
from ..exact.spectral_measures import kallen_lehmann
from ..exact.thermal_measures import thermal_measure
from ..quantum.measures import SpectralMeasure, ThermalMeasure
from ..sampling.correlators import Correlators
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate
from ..statistics.rules import legendre_analysis, legendre_rule
from ..theories.mode_sums import KarhunenLoeve, Pieces
from ..theories.source import Source
from ..theories.theory import Theory
from .closed_forms import closed_form
from .kernels import CosineNetwork, Kernel, TimeNetwork, network_kernel
from .nystrom import (
    MOST_MODES,
    ROUNDING,
    Function,
    count_resolved,
    mean_function,
    need_continuous,
    oriented,
    solve_on_panels,
)
from .tables import decompose_table

__all__ = ["SpectralKernel", "exact_kernel", "karhunen_loeve"]

Exact: TypeAlias = SpectralMeasure | ThermalMeasure | Source | CosineNetwork | TimeNetwork


@one_blas_thread
def karhunen_loeve(
    kernel: Kernel | Exact | Theory | Correlators | tuple[ArrayLike, ArrayLike | Estimate] | Function,
    interval: tuple[float, float] | None = None,
    n_modes: int = 64,
    *,
    mean: float | Callable[[Floats], ArrayLike] | None = None,
    breaks: Sequence[float] = (),
    tolerance: float = 1e-10,
) -> KarhunenLoeve:
    r"""Decompose a covariance kernel into the neurons of a network in time.

    Closed forms are used for the Wiener process, the Brownian bridge, the Ornstein-Uhlenbeck process, and its thermal
    form over one period. Other kernels are discretised by Legendre polynomials on panels. Inner integrals are split at
    s = t, with sqrt(\|s - t\|) as variable; kernels that are smooth, kinked, or functions of sqrt(\|s - t\|) at the
    diagonal therefore converge spectrally. Panels are halved where eigenfunctions are not resolved. Tables are
    integrated by local cubics on either side of the diagonal.

    Parameters
    ----------
    kernel : Kernel, callable, (times, table), SpectralMeasure, Theory or Correlators
        A callable takes arrays s, t that broadcast and returns K(s, t). A table has shape (n, n) on strictly increasing
        times (n,); a measured table is an ``Estimate``. A theory or a measure gives its exact connected two-point
        function and its mean. A run with ``Measure(two_time=True)`` gives its measured connected two-time function and
        its measured mean.
    interval : (float, float), optional
        Required except for tables and runs, where it must be the range of their times.
    n_modes : int, default 64
        Number of modes. Modes that are not distinguished from zero are left out and counted in ``n_noise``.
    mean : float or callable, optional
        Mean of x, zero by default. Theories and runs have their own mean.
    breaks : sequence of float
        Times within the interval where the kernel has kinks other than at s = t.
    tolerance : float, default 1e-10
        Largest acceptable error of an eigenvalue, asymmetry, and negative eigenvalue, relative to the largest
        eigenvalue. For tables, errors of eigenvalues are reported and not limited.

    Returns
    -------
    KarhunenLoeve
        The errors of the eigenvalues are the changes from a coarser rule (panels of 24 instead of 32 nodes; every
        second entry of a table), which exceed the remaining errors, plus rounding.

    Raises
    ------
    InputError, InputTypeError
        If the interval is empty, a table does not fit its times, or the kernel is not finite, symmetric and positive
        semidefinite (the message has the worst value), or the tolerance is not reached.

    Examples
    --------
    >>> kl = karhunen_loeve(Kernel.wiener(), (0.0, 1.0), 3)
    >>> (1 / (np.pi**2 * kl.eigenvalues)).round(6)
    array([0.25, 2.25, 6.25])
    >>> matern = karhunen_loeve(Kernel.matern(1.5), (0.0, 2.0), 8)
    >>> print(f"{matern.truncation_error:.4%}", bool(matern.errors.max() < 1e-13))
    0.1500% True
    """
    n = integer("n_modes", n_modes, 1, MOST_MODES)
    limit = positive("tolerance", tolerance)
    if isinstance(kernel, Correlators | tuple):
        return decompose_table(kernel, interval, n, mean, limit)
    if interval is None:
        raise InputError("interval must be given for a kernel that is not a table: interval=(0.0, 10.0)")
    a, b = (float(v) for v in floats("interval", interval, 1)) if np.shape(interval) == (2,) else (np.nan, np.nan)
    if not b > a:
        raise InputError(f"interval must be (a, b) with a < b; got {interval}")
    if isinstance(kernel, Theory):
        kernel = exact_kernel(kernel)
    uncertainty = 0.0
    known = _function_and_mean(kernel) if isinstance(kernel, Source | ThermalMeasure) else None
    if known is not None:
        if mean is not None:
            raise InputError("mean is given by the theory; leave it out")
        kernel, mean = known
    if isinstance(kernel, SpectralMeasure):
        if mean is not None:
            raise InputError(f"mean is given by the theory, {kernel.mean:g}; leave it out")
        uncertainty, mean = kernel.error * float(kernel.moments[0]) * (b - a), kernel.mean
        kernel = SpectralKernel.of(kernel, b - a)
    bias = mean_function(mean, a, b)
    if isinstance(kernel, Kernel):
        closed = closed_form(kernel, a, b, n)
        if closed is not None:
            eigenvalues, waves, trace = closed
            errors = ROUNDING * eigenvalues
            return KarhunenLoeve(
                interval=(a, b),
                eigenvalues=eigenvalues,
                errors=errors,
                n_noise=0,
                trace=trace,
                method="closed form",
                estimates=None,
                _functions=waves,
                _mean=bias,
            )
    if not callable(kernel):
        raise InputTypeError(f"kernel must be a function K(s, t), a Kernel, a table, a theory or a run; got {kernel!r}")
    inner = floats("breaks", list(breaks), 1)
    if inner.size and not (inner.min() > a and inner.max() < b):
        raise InputError(f"breaks must lie inside the interval ({a:g}, {b:g}); got {inner.tolist()}")
    need_continuous(kernel, a, b)
    solved = solve_on_panels(kernel, np.unique([a, *inner, b]), n, limit)
    errors = solved.errors + uncertainty
    keep = count_resolved(solved.eigenvalues[:n], errors[:n])
    functions = oriented(solved.functions(), solved.eigenvalues, errors, (a, b)).take(keep)
    return KarhunenLoeve(
        interval=(a, b),
        eigenvalues=solved.eigenvalues[:keep],
        errors=errors[:keep],
        n_noise=n - keep,
        trace=solved.trace,
        method="panels",
        estimates=None,
        _functions=functions,
        _mean=bias,
    )


def exact_kernel(theory: Theory) -> Exact:
    """The exact two-point function of the first output of a theory, as a kernel for ``karhunen_loeve``.

    Raises
    ------
    InputError
        If the two-point function is not known without sampling.
    """
    if theory.network is None and theory.sources[0].known_covariance is not None:
        return theory.sources[0]
    network = network_kernel(theory)
    if network is not None:
        return network
    return kallen_lehmann(theory) if theory.period is None else thermal_measure(theory)


def _function_and_mean(
    kernel: Source | ThermalMeasure,
) -> tuple[Function, float | Callable[[Floats], ArrayLike]] | None:
    if isinstance(kernel, Source):
        return None if kernel.known_covariance is None else (kernel.known_covariance, kernel.mean_at)
    measure = kernel
    return lambda s, t: measure.connected(t - s), measure.mean


@dataclass(frozen=True, eq=False, repr=False)
class SpectralKernel:
    """A sum of decaying exponentials of |s - t| as a piecewise polynomial, whose cost does not grow with the terms.

    On [d, 2d] a sum of decaying exponentials is analytic as far as 0, so that 28 Legendre polynomials reach rounding
    for all rates. They also do on [0, d] if no rate exceeds 1/d.
    """

    pieces: Pieces

    @classmethod
    def of(cls, measure: SpectralMeasure, duration: float) -> SpectralKernel:
        """The kernel of a measure for abs(s - t) up to a duration."""
        if measure.signs is not None:
            raise InputError(
                f"a chain with negative eigenvalues has a kernel at multiples of dt={measure.step:g} only; give a "
                "table: (times, measure.connected(times[:, None] - times))"
            )
        # Inputs with equal frequencies give many equal energies.
        first = np.flatnonzero(np.abs(np.diff(measure.energies, prepend=-1.0)) > 1e-12 * measure.energies)
        rates, weights = measure.energies[first] / measure.hbar, np.add.reduceat(measure.weights, first)
        octaves = int(np.clip(np.ceil(np.log2(rates.max(initial=1 / duration) * duration)), 1, 48))
        edges = np.concatenate([[0.0], duration * 2.0 ** np.arange(-octaves, 1)])
        d = edges[:-1, None] + np.diff(edges)[:, None] * (1 + legendre_rule(28)[0]) / 2
        values = np.exp(-d[..., None] * rates) @ weights
        return cls(Pieces(edges, (values @ legendre_analysis(28).T)[..., None]))

    def __call__(self, s: Floats, t: Floats) -> Floats:
        """K(s, t) for times that broadcast."""
        return np.asarray(self.pieces(np.abs(t - s))[..., 0])
