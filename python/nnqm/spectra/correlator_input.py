"""One correlator from what a user has: arrays, samples, estimates, runs; objects of gvar, pyerrors, uncertainties."""

from __future__ import annotations

import copy
import sys
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, array_of, floats
from ..errors import InputError, InputTypeError
from ..statistics.estimate import Estimate

__all__: list[str] = []

# Packages whose objects are values with errors.
_PACKAGES = {"gvar", "pyerrors", "uncertainties"}

# Fewest blocks that are made for a given covariance; see _blocks_for.
_FEWEST_BLOCKS = 256

# Autocorrelation of successive samples beyond which they do not count as independent, in errors. With fewer than 100 a
# strong one may be no more significant, and a false alarm costs little.
_DEPENDENT, _DEPENDENT_OF_FEW, _FEW = 3.0, 2.0, 100

# A correlation matrix with a more negative eigenvalue belongs to no covariance: rounding is smaller.
_NEGATIVE = -1e-7

# Largest difference of a correlator and its mirror image, in errors. Of fifty pairs one in 1e7 differs more by chance.
_MIRRORED = 6.0

# Where two times count as one, in steps.
_SAME_TIME = 1e-6


@dataclass(frozen=True, eq=False)
class Given:
    """A correlator that was read.

    ``values`` have shape (K,) in units of ``unit``; ``times`` are None if none came along; ``n_samples`` is the number
    of independent samples behind the covariance, None if that is known exactly; ``tau`` is the mean autocorrelation
    time of the samples where it was seen; ``covariance`` is the matrix that was given, shape (K, K), in units of
    ``unit`` squared, None where the replicas are the source of the covariance.
    """

    values: Estimate
    unit: float
    n_samples: int | None
    times: Floats | None = None
    tau: float | None = None
    covariance: Floats | None = None


def read(given: Any, covariance: ArrayLike | None, n_samples: int | None, times: Floats | None) -> Given:
    """The correlator of any supported kind of input."""
    return _with_times(read_values(given, covariance, n_samples, times))


def read_values(
    given: Any,
    covariance: ArrayLike | None,
    n_samples: int | None,
    times: Floats | None = None,
    name: str = "correlator",
) -> Given:
    """Values with a covariance of any supported kind of input, with the times that were given or came along.

    ``name`` is the name of the argument in messages.
    """
    if isinstance(given, list | tuple) and given and all(isinstance(entry, Estimate) for entry in given):
        given = given[0].map_replicas(lambda *values: np.stack(values, axis=-1), *given[1:])
    if isinstance(given, Estimate):
        _leave_out("an Estimate", covariance=covariance, n_samples=n_samples)
        return replace(_of_estimate(given, name), times=times)
    own_times = None
    content = getattr(given, "content", None)
    if content is not None and _package(given) == "pyerrors":
        own_times = np.array([i for i, entry in enumerate(content) if entry is not None], dtype=np.float64)
        if times is not None and len(times) == len(content):
            times = times[own_times.astype(np.int64)]
        given = entries_of(content, name)
    array = _array(given, name)
    if array.dtype == object and array.size:
        kinds = {_package(entry) for entry in array.ravel()}
        if kinds & _PACKAGES:
            _leave_out(f"the {' and '.join(sorted(kinds))} objects", covariance=covariance)
            if array.ndim != 1:
                raise InputError(f"{name} must have shape (K,); got objects of shape {array.shape}")
            found = _of_objects(list(array), kinds, n_samples, name)
            return replace(found, times=own_times if times is None else times)
    if array.dtype.kind == "c":
        raise InputTypeError(
            f"{name} must be real; got dtype {array.dtype}; take the real part if the imaginary one is noise"
        )
    if array.ndim == 2:
        _leave_out("samples", covariance=covariance, n_samples=n_samples)
        return replace(_of_samples(floats(name, array, 2), times, name), times=times)
    if array.ndim != 1:
        raise InputError(
            f"{name} must have shape (K,), or (configuration, K) for samples; got shape {array.shape}; "
            "average over sources first, or make an Estimate with nnqm.jackknife"
        )
    return replace(_of_arrays(floats(name, array, 1), covariance, n_samples, name), times=times)


def _with_times(found: Given) -> Given:
    chosen = found.times
    if chosen is None:
        raise InputError("times are missing: give the time of each value, shape (K,)")
    _check_times(chosen, len(found.values))
    error = found.values.error
    still = np.flatnonzero(~(error > 4 * np.finfo(float).eps * np.abs(found.values.value)))
    if still.size:
        raise InputError(
            f"the correlator does not fluctuate at times {listed(chosen[still])}, so that it has no errors there; "
            "leave these times out (if squared errors are too small for float64, use other units)"
        )
    return found


def _check_times(times: Floats, n: int) -> None:
    if len(times) != n:
        raise InputError(f"times must have one entry per value, {n}; got {len(times)}")
    if len(times) < 2:
        raise InputError(f"times must have at least 2 entries; got {len(times)}; give the correlator at more times")
    if times[0] < 0:
        raise InputError(f"times must not be negative; times[0]={times[0]:g}; fold the correlator first")
    for i in np.flatnonzero(np.diff(times) <= 0)[:1]:
        raise InputError(
            f"times must be strictly increasing; times[{i + 1}]={times[i + 1]:g} <= times[{i}]={times[i]:g}; sort them"
        )


def listed(times: Floats) -> str:
    return "[" + ", ".join(f"{t:.4g}" for t in times) + "]"


def _package(thing: Any) -> str:
    return type(thing).__module__.split(".")[0]


def _leave_out(owner: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name} comes with {owner}; leave it out")


def _array(given: Any, name: str) -> NDArray[Any]:
    try:
        # Numbers of uncertainties have a dtype that is none.
        if isinstance(given, list | tuple) and any(
            np.iscomplexobj(entry) for entry in given if _package(entry) != "uncertainties"
        ):
            return np.asarray(given, dtype=complex)
        if np.iscomplexobj(given):
            return np.asarray(given)
        return array_of(name, given)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name} must have one length for all samples; {error}; cut all samples to the same times"
        ) from None


# ---- arrays and samples


def unit_of(values: Floats) -> float:
    """A power of two near the largest value, so that neither squares nor thresholds depend on the unit."""
    largest = float(np.abs(values).max(initial=0.0))
    return float(2.0 ** np.clip(np.frexp(largest)[1], -1000, 1000)) if largest > 0 else 1.0


def _scaled(estimate: Estimate) -> tuple[Estimate, float]:
    unit = unit_of(estimate.value) if np.any(estimate.value) else unit_of(estimate.replicas)
    return Estimate(estimate.value / unit, estimate.replicas / unit, estimate.weights), unit


def _of_arrays(values: Floats, covariance: ArrayLike | None, n_samples: int | None, name: str) -> Given:
    if not len(values):
        raise InputError(f"{name} must have at least 2 values; got none")
    if covariance is None:
        raise InputError(
            "covariance is missing: give the covariance of the values, shape (K, K), samples of shape "
            "(configuration, K), or an Estimate made with nnqm.jackknife"
        )
    shape = np.shape(covariance)
    if shape != (len(values), len(values)):
        hint = "; for independent errors give numpy.diag(errors**2)" if len(shape) == 1 else ""
        raise InputError(f"covariance must have shape {(len(values), len(values))}; got {shape}{hint}")
    if np.iscomplexobj(covariance):
        raise InputTypeError("covariance must be real; got complex numbers; take the real part")
    matrix = floats("covariance", covariance, 2)
    if np.any(np.diag(matrix) < 0):
        raise InputError(f"covariance must have squared errors on its diagonal; got {np.diag(matrix).min():g}")
    scale = np.sqrt(np.diag(matrix))[:, None] * np.sqrt(np.diag(matrix))
    if np.any(np.abs(matrix - matrix.T) > 1e-8 * scale) or np.any(np.abs(matrix) > (1 + 1e-8) * scale):
        raise InputError(
            "covariance must be symmetric, with no element above the product of two errors; got one that is not; "
            "errors belong squared on its diagonal"
        )
    unit = unit_of(values) if np.any(values) else unit_of(np.sqrt(np.diag(matrix)))
    symmetric = (matrix + matrix.T) / 2 / unit / unit
    return Given(_blocks_for(values / unit, symmetric), unit, n_samples, covariance=symmetric)


def _blocks_for(values: Floats, covariance: Floats) -> Estimate:
    """Replicas whose jackknife covariance is the one given: displacements along its eigenvectors, both ways."""
    errors = np.sqrt(np.diag(covariance))
    inverse = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    eigenvalues, vectors = np.linalg.eigh(covariance * inverse[:, None] * inverse)
    if eigenvalues[0] < _NEGATIVE * len(errors):
        raise InputError(
            f"covariance must not have negative eigenvalues; its correlation matrix has {eigenvalues[0]:.2g}; "
            "estimate all its elements from the same samples"
        )
    columns = errors[:, None] * vectors * np.sqrt(np.maximum(eigenvalues, 0))
    # Many small displacements rather than few large ones: functions of the values need only be linear over these.
    copies = -(-_FEWEST_BLOCKS // (2 * len(values)))
    n = 2 * copies * len(values)
    step = np.sqrt(n / (n - 1) / (2 * copies)) * columns.T
    return Estimate(values, values + np.tile(np.concatenate([step, -step]), (copies, 1)), np.full(n, float(n)))


def _of_samples(samples: Floats, times: Floats | None, name: str) -> Given:
    n, k = samples.shape
    if times is not None and k != len(times) and n == len(times):
        raise InputError(
            f"samples must have shape (configuration, K) with K = {len(times)} times; got {samples.shape}; "
            "transpose them"
        )
    if n < 2 or k < 1:
        raise InputError(
            f"samples must have shape (configuration, K) with at least 2 configurations; got {samples.shape}; "
            "give a covariance with a single correlator, or an Estimate made with nnqm.jackknife"
        )
    unit = unit_of(samples)
    scaled = samples / unit
    mean = scaled.mean(axis=0)
    return _of_estimate(Estimate(mean, mean - (scaled - mean) / (n - 1), np.full(n, float(n))), name, unit)


def _of_estimate(estimate: Estimate, name: str, unit: float = 1.0) -> Given:
    if estimate.value.ndim != 1:
        raise InputError(f"{name} must have shape (K,); got {estimate.value.shape}")
    if estimate.n_blocks < 2:
        raise InputError(f"{name} must have at least 2 blocks; got one; make more blocks with nnqm.jackknife")
    for stack in (estimate.value, estimate.replicas):
        if not np.all(np.isfinite(stack)):
            raise InputError(f"{name} must be finite; got an Estimate with NaN or infinite entries")
    scaled, more = _scaled(estimate)
    taus = _autocorrelation(scaled.replicas)
    n = scaled.n_blocks
    if taus is None:
        return Given(scaled, unit * more, n)
    # Dependent samples count as fewer independent ones with the same covariance of each.
    wider = scaled.value + np.sqrt(2 * taus) * (scaled.replicas - scaled.value)
    tau = float(taus.mean())
    return Given(Estimate(scaled.value, wider, scaled.weights), unit * more, max(2, int(n / (2 * tau))), tau=tau)


def _autocorrelation(series: Floats) -> Floats | None:
    """Integrated autocorrelation times of the columns of a series (n, K), shape (K,); None if none is seen.

    The window is common to all columns, five times the time of their mean autocorrelation, and the bias of the mean
    that is subtracted is corrected (Wolff, Comput. Phys. Commun. 156, 143 (2004)).
    """
    x = series - series.mean(axis=0)
    spread, n = x.std(axis=0), len(x)
    if n < 8 or not np.all(spread > 0):
        return None
    x = x / spread
    padded = 1 << (2 * n - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(x, padded, axis=0)) ** 2
    correlation = np.fft.irfft(spectrum, axis=0)[: n // 2] / n
    taus = 0.5 + np.cumsum(correlation[1:], axis=0)
    mean = taus.mean(axis=1)
    closed = np.flatnonzero(np.arange(1, len(correlation)) >= 5 * mean)
    window = int(closed[0]) if closed.size else int(np.argmax(mean))
    # For independent samples the first autocorrelation has the error n^(-1/2), and the sum over a window sqrt(W/n).
    first, summed = correlation[1].mean() + 1 / n, mean[window] - 0.5 + (window + 1) / n
    limit = _DEPENDENT if n >= _FEW else _DEPENDENT_OF_FEW
    if first * np.sqrt(n) < limit and summed * np.sqrt(n / (window + 1)) < limit:
        return None
    return np.asarray(np.maximum(0.5, taus[window] * (1 + (2 * window + 3) / n)))


# ---- objects of other packages


def entries_of(content: Any, name: str) -> list[Any]:
    """The observables of the content of a Corr of pyerrors; times without one are left out."""
    present = [entry for entry in content if entry is not None]
    if any(np.size(entry) != 1 for entry in present):
        raise InputError(f"{name} is a matrix of correlators; give one element of it, corr.item(i, j)")
    if not present:
        raise InputError(f"{name} must have at least 2 values; got a Corr without any")
    return [np.ravel(np.asarray(entry, dtype=object))[0] for entry in present]


def _of_objects(entries: list[Any], kinds: set[str], n_samples: int | None, name: str) -> Given:
    if len(kinds) > 1:
        raise InputTypeError(
            f"{name} must hold objects of one kind; got {', '.join(sorted(kinds))}; a number without an error "
            "cannot be used: leave its time out"
        )
    if kinds == {"gvar"}:
        gvar = sys.modules["gvar"]
        return _of_arrays(floats(name, gvar.mean(entries), 1), gvar.evalcov(entries), n_samples, name)
    if kinds == {"uncertainties"}:
        means = floats(name, [entry.nominal_value for entry in entries], 1)
        return _of_arrays(means, sys.modules["uncertainties"].covariance_matrix(entries), n_samples, name)
    _leave_out("the pyerrors objects", n_samples=n_samples)
    if any(type(entry).__name__ == "CObs" for entry in entries):
        raise InputTypeError(f"{name} must be real; got complex observables of pyerrors; take corr.real")
    # The user's own analysis is used where there is one. Anything else is analysed on a copy, with the defaults of
    # pyerrors: the objects may be in use elsewhere.
    analysed = [entry if hasattr(entry, "e_dvalue") else copy.deepcopy(entry) for entry in entries]
    for own, entry in zip(entries, analysed, strict=True):
        if own is not entry:
            entry.gamma_method()
    with warnings.catch_warnings():
        # A covariance of too few configurations is looked at here.
        warnings.simplefilter("ignore", RuntimeWarning)
        covariance = sys.modules["pyerrors"].covariance(analysed)
    return _of_arrays(floats(name, [o.value for o in analysed], 1), covariance, _configurations(analysed), name)


def _configurations(observables: list[Any]) -> int | None:
    """Independent configurations, N/(2 tau), of the smallest ensemble; None without ensembles."""
    found = []
    for o in observables:
        for ensemble, replicas in getattr(o, "e_content", {}).items():
            tau = getattr(o, "e_tauint", {}).get(ensemble)
            if tau is not None:
                found.append(sum(o.shape[name] for name in replicas) / (2 * max(tau, 0.5)))
    return max(2, int(min(found))) if found else None


# ---- periodic correlators


def fold(found: Given, period: float, antiperiodic: bool | None) -> tuple[Given, bool]:
    """The correlator at times up to half the period, averaged with its mirror image, and whether that is negative."""
    times, values = found.times, found.values
    assert times is not None
    step = float(np.diff(times).min())
    if times[-1] > period * (1 + 1e-9):
        raise InputError(
            f"times must not exceed the period; got times[{len(times) - 1}]={times[-1]:g} > {period:g}; "
            "give the times of one period"
        )
    mirrored = np.minimum(times, period - times)
    order = np.argsort(mirrored, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(mirrored[order]) > _SAME_TIME * step) + 1)
    late = np.where(times > period / 2 + _SAME_TIME * step, 1.0, 0.0)
    if antiperiodic is None:
        antiperiodic = _mirror_fault(values, groups, times, late, 1.0) is not None and (
            _mirror_fault(values, groups, times, late, -1.0) is None
        )
    sign = -1.0 if antiperiodic else 1.0
    fault = _mirror_fault(values.map_replicas(lambda g: g * found.unit), groups, times, late, sign)
    if fault is not None:
        raise InputError(
            f"the correlator must be {'anti' * antiperiodic}symmetric about half the period {period:g}; {fault}; "
            "check the period (number of times in it, multiplied by the step) and antiperiodic"
        )
    if antiperiodic:
        # There the correlator is zero.
        groups = [group for group in groups if mirrored[group[0]] < period / 2 - _SAME_TIME * step]
    average = np.zeros((len(times), len(groups)))
    for column, group in enumerate(groups):
        average[group, column] = np.where(late[group] > 0, sign, 1.0) / len(group)
    folded = values.map_replicas(lambda g: g @ average)
    kept = np.array([mirrored[group[0]] for group in groups])
    if len(kept) < 2:
        raise InputError(f"times must have at least 2 different ones up to half the period {period:g}")
    return replace(found, values=folded, times=kept), bool(antiperiodic)


def _mirror_fault(
    values: Estimate, groups: list[NDArray[np.int64]], times: Floats, late: Floats, sign: float
) -> str | None:
    """The first pair of mirrored times at which the values differ beyond doubt."""
    for group in groups:
        if len(group) < 2 or late[group].sum() in (0, len(group)):
            continue
        i, j = group[np.argsort(late[group], kind="stable")][[0, -1]]
        apart = values[int(i)].map_replicas(lambda a, b: a - sign * b, values[int(j)])
        allowed = _MIRRORED * float(apart.error) + 1e-9 * float(values.error[i])
        if abs(float(apart.value)) > allowed:
            return f"got values that differ by {apart} between times {times[i]:g} and {times[j]:g}"
    return None
