"""Targets of a fit: values that an exact observable of a theory is to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, array_of, floats, integer, lag_list
from ..errors import InputError, InputTypeError, located
from ..sampling.correlators import Correlators
from ..spectra.correlator_input import read_values
from ..spectra.positive_sums import SINGULAR
from ..statistics.estimate import Estimate
from ..statistics.matrices import eigenstates
from .observables import Observable, TwoPoint

__all__ = ["Target"]

# Blocks or samples per value of an estimated covariance.
_SAMPLES_PER_VALUE = 10

# Number of lags of a run that are taken by default, and the errors by which the correlator must exceed zero there.
_DEFAULT_LAGS, _ABOVE_NOISE = 12, 3.0

# Share of a value in a null vector of the covariance that rounding cannot give it.
_TAKES_PART = 0.05


@dataclass(frozen=True, init=False, eq=False)
class Target:
    r"""Values that an observable of a theory is to take, with their covariance or with a tolerance.

    Parameters
    ----------
    observable : TwoPoint, SpectralWeights, Moments, NPoint, Commutator, MomentumSquared or Gaps
        The observable of the theory that is fitted, with k values.
    values : Estimate, array_like, array of gvar or uncertainties, or list of Obs of pyerrors
        Measured or exact values, shape (k,), or a number for one value. Estimates, objects of gvar and pyerrors, and
        samples of shape (configuration, k) bring their covariance along.
    covariance : array_like, optional
        Covariance of a plain array, shape (k, k).
    errors : array_like, optional
        Independent standard errors of a plain array instead, shape (k,) or a number.
    tolerance : array_like, optional
        Of exact numbers: deviations that do not matter, shape (k,) or a number. The fit ends once all deviations are
        below it. By default deviations have weight one, and the fit goes on to the minimum.
    n_samples : int, optional
        Independent configurations from which ``covariance``, or that of gvar objects, was estimated; a covariance
        without it counts as exactly known.

    Attributes
    ----------
    values : ndarray
        Shape (k,), float64.
    covariance : ndarray or None
        Shape (k, k); None for exact numbers. Systematic errors of an Estimate are added in quadrature, as independent
        errors.
    tolerance : ndarray or None
        Shape (k,); None with a covariance, and for exact numbers without a tolerance.
    n_samples : int or None
        Independent blocks or samples behind the covariance; None if it is known exactly.

    Raises
    ------
    InputError, InputTypeError
        If the number of values is not that of the observable, a value is not finite, the covariance is singular, not
        symmetric or has negative eigenvalues, or it is estimated from fewer than 10 k samples.

    Examples
    --------
    >>> from nnqm.learning import SpectralWeights
    >>> nnqm.Target(SpectralWeights(4), [0.5, 0.25, 0.15, 0.1])
    Target(spectral weights: 4 exact values)
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 64, 0.2, rng=1)
    >>> nnqm.Target.two_point(run)
    Target(connected two-point function: 12 values from 128 blocks)
    """

    observable: Observable
    values: Floats
    covariance: Floats | None
    tolerance: Floats | None
    n_samples: int | None

    def __init__(
        self,
        observable: Observable,
        values: Any,
        covariance: ArrayLike | None = None,
        *,
        errors: ArrayLike | None = None,
        tolerance: ArrayLike | None = None,
        n_samples: int | None = None,
    ) -> None:
        if not isinstance(observable, get_args(Observable)):
            kinds = ", ".join(kind.__name__ for kind in get_args(Observable))
            raise InputTypeError(f"observable must be one of {kinds}; got {observable!r}")
        with located(f"target {observable.label!r}"):
            if errors is not None:
                if covariance is not None:
                    raise InputError("errors and covariance exclude each other; give one of them")
                covariance = np.diag(_spread("errors", errors, observable.size) ** 2)
            known = None if n_samples is None else integer("n_samples", n_samples, 2)
            if covariance is None and _is_plain(values):
                if known is not None:
                    raise InputError("n_samples belongs to a covariance; give that, or leave it out")
                exact = floats("values", np.atleast_1d(array_of("values", values)), 1)
                matrix, samples = None, None
            else:
                if tolerance is not None:
                    raise InputError("tolerance is for exact numbers; leave it out where there are errors")
                exact, matrix, samples = _measured(values, covariance, known)
            if len(exact) != observable.size:
                raise InputError(
                    f"values must have one entry per value of the observable, {observable.size}; got {len(exact)}"
                )
            allowed = None if tolerance is None else _spread("tolerance", tolerance, observable.size)
            if matrix is not None:
                _need_invertible(matrix)
        for name, value in (
            *(("observable", observable), ("values", exact), ("covariance", matrix)),
            *(("tolerance", allowed), ("n_samples", samples)),
        ):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    @classmethod
    def two_point(
        cls, run: Correlators, lags: Sequence[int] | None = None, *, channel: int | str = 0, connected: bool = True
    ) -> Target:
        """The two-point function of a run, with its covariance.

        Parameters
        ----------
        run : Correlators
            From ``simulate`` or ``accumulate``.
        lags : sequence of int, optional
            Lags in steps, all of them in the run. By default at most 12, log-spaced, from 0 on to the last one before
            the function comes within 3 errors of zero; of closed paths up to half the period.
        channel : int or str, default 0
            Of the run, and of the theory that is fitted.
        connected : bool, default True
            Whether the mean is subtracted.

        Returns
        -------
        Target

        Raises
        ------
        InputError, InputTypeError
            If there is no run, it lacks a lag, or more lags are asked for than its blocks can serve.
        """
        if not isinstance(run, Correlators):
            raise InputTypeError(f"run must be a result of simulate or accumulate; got {run!r}")
        function = run.connected(channel) if connected else run.two_point(channel)
        held = {lag: i for i, lag in enumerate(run.lags)}
        if lags is None:
            chosen = _default_lags(run, function)
        else:
            chosen = list(lag_list("lags", lags, 0))
            for lag in chosen:
                if lag not in held:
                    raise InputError(
                        f"lags must be among the lags of the run, {list(run.lags)}; got {lag}; "
                        "simulate with measure=Measure(lags=...)"
                    )
        where = np.array([held[lag] for lag in chosen], dtype=np.int64)
        return cls(TwoPoint(run.dt * np.asarray(chosen), connected, channel), function[where])

    @property
    def size(self) -> int:
        """Number of values k."""
        return len(self.values)

    @property
    def label(self) -> str:
        """Name in tables and figures."""
        return self.observable.label

    @property
    def errors(self) -> Floats | None:
        """Standard errors, shape (k,); None for exact numbers."""
        return None if self.covariance is None else np.sqrt(np.diag(self.covariance))

    @cached_property
    def white(self) -> Floats:
        r"""Matrix that turns deviations into residuals r of the loss :math:`\frac12 r^T r`, shape (k, k).

        With a covariance C it is the inverse of its Cholesky factor; if C is estimated from n samples, its inverse is
        multiplied by (n - k - 2)/(n - 1), which makes it unbiased (Hartlap, Simon and Schneider, Astron. Astrophys.
        464, 399 (2007)). Of exact numbers it is the inverse tolerance.
        """
        if self.covariance is None:
            scale = np.ones(self.size) if self.tolerance is None else self.tolerance
            return np.diag(1 / scale)
        error = np.sqrt(np.diag(self.covariance))
        factor = np.linalg.cholesky(self.covariance / error[:, None] / error)
        return np.asarray(np.sqrt(self.hartlap) * np.linalg.inv(factor) / error)

    @property
    def hartlap(self) -> float:
        """Factor (n - k - 2)/(n - 1) of an inverse covariance from n samples; 1 for one that is known."""
        return 1.0 if self.n_samples is None else (self.n_samples - self.size - 2) / (self.n_samples - 1)

    def __repr__(self) -> str:
        kind = "exact values" if self.covariance is None else "values"
        source = "" if self.n_samples is None else f" from {self.n_samples} blocks"
        return f"Target({self.label}: {self.size} {kind if self.size > 1 else kind[:-1]}{source})"


def _is_plain(values: Any) -> bool:
    """Whether values are plain numbers on at most one axis, and not samples or objects with errors."""
    if isinstance(values, Correlators):
        raise InputTypeError("values must be numbers; got a run; Target.two_point(run) takes its two-point function")
    if isinstance(values, Estimate) or hasattr(values, "content"):
        return False
    if isinstance(values, list | tuple) and any(isinstance(entry, Estimate) for entry in values):
        if not all(isinstance(entry, Estimate) for entry in values):
            raise InputTypeError("values must be all estimates or all numbers; got both; make two targets")
        return False
    array = array_of("values", values)
    return array.ndim < 2 and array.dtype != object


def _spread(name: str, given: ArrayLike, size: int) -> Floats:
    """Positive numbers, one per value."""
    array = np.atleast_1d(floats(name, given))
    if array.shape not in ((1,), (size,)):
        raise InputError(f"{name} must be a number or have shape ({size},); got shape {array.shape}")
    for i in np.flatnonzero(array <= 0)[:1]:
        raise InputError(f"{name} must be positive; got {name}[{i}]={array[i]:g}")
    return np.array(np.broadcast_to(array, (size,)))


def _measured(values: Any, covariance: ArrayLike | None, n_samples: int | None) -> tuple[Floats, Floats, int | None]:
    """Values, covariance and number of samples of any kind of input with errors."""
    if isinstance(values, Estimate) and not values.ndim:
        values = values.reshape(1)
    elif not isinstance(values, Estimate | list | tuple) and not hasattr(values, "content") and np.ndim(values) == 0:
        values = [values]
    found = read_values(values, covariance, n_samples, name="values")
    size = len(found.values)
    matrix, samples = found.covariance, found.n_samples
    if samples is not None and size > samples / _SAMPLES_PER_VALUE:
        raise InputError(
            f"a covariance of {size} values needs at least {_SAMPLES_PER_VALUE * size} independent samples; got "
            f"{samples}; use at most {samples // _SAMPLES_PER_VALUE} of the values, or more samples"
        )
    if matrix is None:
        matrix = found.values.covariance()
    matrix = matrix * found.unit**2
    if isinstance(values, Estimate):
        matrix = matrix + np.diag(values.systematic**2)
    return np.asarray(found.values.value * found.unit), np.asarray(matrix), samples


def _need_invertible(covariance: Floats) -> None:
    """Raise InputError if a covariance is singular; the message names the values that depend on each other."""
    error = np.sqrt(np.diag(covariance))
    still = np.flatnonzero(error <= 0)
    if still.size:
        raise InputError(
            f"values {still.tolist()} have no error; leave them out, or give them as a target of exact numbers"
        )
    eigenvalues, vectors = eigenstates(covariance / error[:, None] / error)
    null = eigenvalues < SINGULAR * len(error)
    if null.any():
        guilty = np.flatnonzero(np.sqrt((vectors[:, null] ** 2).sum(axis=1)) > _TAKES_PART)
        raise InputError(
            f"the covariance is singular: values {guilty.tolist()} depend on each other ({int(null.sum())} "
            "combinations); leave some of them out, or give n_samples if it is an estimate from few samples"
        )


def _default_lags(run: Correlators, function: Estimate) -> list[int]:
    """Log-spaced lags of a run at which the signal is above noise, as many as its blocks can serve."""
    lags = np.asarray(run.lags)
    good = function.value > _ABOVE_NOISE * function.error
    if run.period is not None:
        good &= lags * run.dt <= run.period / 2 * (1 + 1e-9)
    stop = len(good) if good.all() else int(np.argmin(good))
    most = min(_DEFAULT_LAGS, function.n_blocks // _SAMPLES_PER_VALUE)
    if not stop or not most:
        raise InputError(
            "the run has no lag at which its two-point function exceeds zero by 3 errors, or fewer than 10 blocks; "
            "use more paths, or give lags"
        )
    return [int(lag) for lag in _spaced(lags[:stop], most)]


def _spaced(lags: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The lags nearest to a logarithmic spacing, at most a given number."""
    if len(lags) <= most:
        return lags
    wanted = np.geomspace(1.0, 1.0 + lags[-1] - lags[0], most) + lags[0] - 1
    nearest = np.abs(lags[:, None] - wanted).argmin(axis=0)
    # Short lags coincide; the places left over go to the longer ones in between.
    chosen = np.unique(nearest)
    rest = np.setdiff1d(np.arange(len(lags)), chosen)
    extra = rest[np.linspace(0, len(rest) - 1, most - len(chosen)).round().astype(np.int64)] if len(rest) else rest
    return np.asarray(lags[np.unique(np.concatenate([chosen, extra]))])
