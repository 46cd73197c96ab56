"""Values with errors by the jackknife over independent blocks, the only error estimate of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _core
from .._arguments import Floats
from ..errors import InputError, InputTypeError
from ..representation import card
from .arithmetic import STEP, Arithmetic

__all__ = ["Estimate", "jackknife"]


class Estimate(Arithmetic):
    r"""A value, or an array of values, with jackknife replicas.

    The statistical error comes from the delete-one jackknife over blocks of unequal size (Busing, Meijer and
    van der Leeden, Stat. Comput. 9, 3 (1999)); for equal blocks it is the usual

    .. math:: \sigma^2 = \frac{B-1}{B} \sum_b (\theta_{(b)} - \bar\theta)^2 .

    It covers the fluctuation between blocks and nothing else. If an estimator has a systematic error (extrapolation,
    truncation), it is kept apart in ``systematic``.

    An estimate behaves like a number or an array of numbers: arithmetic with numbers, arrays and other estimates of the
    same blocks, NumPy's functions, indices, iteration. Correlations between estimates of the same blocks are taken into
    account. Systematic errors are propagated to first order, and added linearly, because their correlations are
    unknown. Comparisons (<, ==, ...), ``float``, ``numpy.asarray`` and formats of numbers such as ``f"{e:.3f}"`` use
    the value without its errors; ``str`` shows the errors. ``map`` applies any other function.

    Attributes
    ----------
    value : ndarray
        Shape S, float64.
    weights : ndarray
        Total size divided by block size, shape (n_blocks,); each weight is n_blocks for equal blocks.
    systematic : ndarray
        Systematic error, shape S; zero unless the estimator gives one.

    Examples
    --------
    >>> sums = {"x": np.array([1.0, 2.0, 3.0, 4.0])}
    >>> mean = jackknife(lambda s: s["x"] / s["n"], sums | {"n": np.ones(4)}, [1, 1, 1, 1])
    >>> print(mean)
    2.5(6)
    >>> print(2 * mean - mean, np.log(mean), f"{mean:.2f}")
    2.5(6) 0.92(26) 2.50
    """

    __slots__ = ("_replicas", "systematic", "value", "weights")

    value: Floats
    _replicas: Floats | None
    weights: Floats
    systematic: Floats

    def __init__(self, value: ArrayLike, replicas: ArrayLike, weights: ArrayLike, systematic: ArrayLike = 0.0) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self._replicas = np.asarray(replicas, dtype=np.float64)
        self.weights = np.asarray(weights, dtype=np.float64)
        self.systematic = np.broadcast_to(np.asarray(systematic, dtype=np.float64), self.value.shape)
        if self._replicas.shape != (self.weights.size, *self.value.shape):
            raise InputError(
                f"replicas must have shape (n_blocks, *value.shape) = {(self.weights.size, *self.value.shape)}; "
                f"got {self._replicas.shape}"
            )

    @property
    def replicas(self) -> Floats:
        """Values with one block left out, shape (n_blocks, *S)."""
        assert self._replicas is not None
        return self._replicas

    @property
    def n_blocks(self) -> int:
        """Number of independent blocks."""
        return self.weights.size

    def deviations(self) -> Floats:
        """Deviations of replicas, scaled so that their sum of squares is the variance, shape (n_blocks, entries).

        Sums of products of two columns are covariances: of any number of entries, also of more than ``covariance``
        allows, whose matrix is too noisy to be inverted.

        Returns
        -------
        ndarray
            Shape (n_blocks, entries), float64; the entries of S in C order.
        """
        rest = (self.weights - 1)[:, None]
        # Differences from the value: pseudo-values and their mean are multiples of them.
        deviations = np.subtract(self.value.reshape(-1), self.replicas.reshape(self.n_blocks, -1), order="C")
        centre = (deviations * (rest / self.weights[:, None])).sum(axis=0)
        deviations *= np.sqrt(rest / self.n_blocks)
        deviations -= centre / np.sqrt(rest * self.n_blocks)
        return deviations

    @property
    def error(self) -> Floats:
        """Statistical error, shape S."""
        if self.n_blocks < 2:
            return np.full(self.value.shape, np.nan)
        variances = _core.jackknife_variances(
            values=self.value.reshape(-1), replicas=self.replicas.reshape(self.n_blocks, -1), weights=self.weights
        )
        return np.asarray(np.sqrt(variances).reshape(self.value.shape))

    @property
    def total_error(self) -> Floats:
        """Statistical and systematic error in quadrature, shape S."""
        return np.asarray(np.hypot(self.error, self.systematic))

    def covariance(self) -> Floats:
        """Covariance matrix of a one-dimensional estimate, shape (k, k).

        Returns
        -------
        ndarray
            Shape (k, k), float64.

        Raises
        ------
        InputError
            If the estimate is not one-dimensional, or has more points than n_blocks/10: the estimated covariance
            would be too noisy to invert.
        """
        if self.value.ndim != 1:
            raise InputError(f"covariance needs a one-dimensional estimate; got shape {self.value.shape}")
        if self.value.size > self.n_blocks / 10:
            most = self.n_blocks // 10
            fewer = f"use at most {most} of the points, or more blocks" if most else "use more blocks"
            raise InputError(
                f"covariance of {self.value.size} points needs at least {10 * self.value.size} blocks; "
                f"got {self.n_blocks}; {fewer}"
            )
        deviations = self.deviations()
        return np.asarray(deviations.T @ deviations)

    def consistency(self, expected: ArrayLike | Estimate) -> float:
        r"""p-value of the joint comparison with ``expected``, by Hotelling's test.

        .. math:: T^2 = d^T \Sigma^{-1} d, \qquad \frac{n_b - k}{k (n_b - 1)} T^2 \sim F(k, n_b - k)

        The test accounts for the noise of the estimated covariance; systematic errors are not included.

        Parameters
        ----------
        expected : array_like or Estimate
            Shape (k,), k at most n_blocks/10; an estimate must come from the same blocks.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If the covariance cannot be estimated or inverted: there are too many points, or some are constant or
            depend on others; or if ``expected`` is an estimate from other blocks.
        """
        from scipy.special import fdtrc

        if isinstance(expected, Estimate):
            return self.map_replicas(np.subtract, expected).consistency(np.zeros(self.shape))
        difference = self.value - np.asarray(expected, dtype=np.float64)
        k, n = self.value.size, self.n_blocks
        covariance = self.covariance()
        constant = np.flatnonzero(np.diag(covariance) <= 0)
        if constant.size:
            raise InputError(f"points {constant.tolist()} do not fluctuate and cannot be tested; leave them out")
        # In units of the errors the equations are well conditioned for points of very different size.
        scale = 1 / np.sqrt(np.diag(covariance))
        correlation = covariance * scale[:, None] * scale
        if np.linalg.eigvalsh(correlation)[0] < 1e-13:
            raise InputError("the covariance is singular: some points are functions of others", "use fewer points")
        statistic = float((difference * scale) @ np.linalg.solve(correlation, difference * scale))
        return float(fdtrc(k, n - k, statistic * (n - k) / (k * (n - 1))))

    def pull(self, expected: ArrayLike | Estimate) -> Floats:
        """(value - expected) / total error, shape S.

        Parameters
        ----------
        expected : array_like or Estimate
            Values to compare with, of a shape that broadcasts with S. The error of an estimate is included; one from
            other blocks is taken as independent.

        Returns
        -------
        ndarray
            Shape S; infinite or NaN where the error is zero.
        """
        error = self.total_error
        if isinstance(expected, Estimate):
            same = np.array_equal(expected.weights, self.weights)
            error = (self - expected).total_error if same else np.hypot(error, expected.total_error)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray((self.value - np.asarray(expected)) / error)

    def map(self, function: Callable[..., ArrayLike], *others: Estimate) -> Estimate:
        """Apply any function of this and other estimates of the same blocks.

        The function is called for the values and for each replica, so that correlations are exact. Systematic errors
        are propagated to first order by central differences and added linearly.

        Parameters
        ----------
        function : callable
            Takes arrays of the shapes S of the estimates, one for each, and returns a number or an array of real
            numbers. It must be a function of its arguments alone.
        *others : Estimate
            Further estimates from the same blocks.

        Returns
        -------
        Estimate
            Of the shape of the function's result.

        Raises
        ------
        InputError
            If the estimates come from different blocks, or the shape of the result changes from replica to replica.
        InputTypeError
            If a result is no real number or array of real numbers.

        Examples
        --------
        >>> sums = {"x": np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 3.0]]), "n": np.ones((3, 1))}
        >>> means = jackknife(lambda s: s["x"] / s["n"], sums, [1, 1, 1])
        >>> print(means.map(lambda m: m[0] / m[1]))
        0.67(31)
        """
        estimates = (self, *others)
        stacked = _stacked(estimates)

        def call(*arrays: Any) -> Floats:
            return _real(function(*arrays))

        first = call(*(array[0].copy() for array in stacked))
        replicas = np.empty((self.n_blocks, *first.shape))
        for k in range(self.n_blocks):
            result = call(*(array[k + 1] for array in stacked))
            if result.shape != first.shape:
                raise InputError(
                    f"function must return arrays of one shape; got {first.shape} for the values and {result.shape} "
                    f"for replica {k}"
                )
            replicas[k] = result
        return Estimate(first, replicas, self.weights, _propagated(call, estimates, first.shape))

    def map_replicas(self, function: Callable[..., ArrayLike], *others: Estimate) -> Estimate:
        """Apply a function to the values and all replicas in one call; systematic errors are dropped.

        The function sees an axis in front of S, so that an index such as ``v[0]`` in it is a replica, not a value:
        use ``map`` unless speed matters.

        Parameters
        ----------
        function : callable
            Takes arrays (R, *S), one for each estimate, the values first and then the replicas; returns an array
            (R, ...).
        *others : Estimate
            Further estimates from the same blocks.

        Returns
        -------
        Estimate
            With statistical errors only.

        Raises
        ------
        InputError
            If the estimates come from different blocks, or the result has no axis of replicas.
        """
        return _of_stack(function(*_stacked((self, *others))), self.weights)

    def with_systematic(self, systematic: ArrayLike) -> Estimate:
        """The same estimate with another systematic error.

        Parameters
        ----------
        systematic : array_like
            Systematic error, of a shape that broadcasts to S.

        Returns
        -------
        Estimate
        """
        return Estimate(self.value, self.replicas, self.weights, systematic)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape S of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the value."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """Number of entries of the value."""
        return self.value.size

    @property
    def T(self) -> Estimate:
        """The transposed estimate."""
        return self._rearranged(lambda a: a.T)

    def reshape(self, *shape: Any) -> Estimate:
        """The same entries in another shape.

        Parameters
        ----------
        *shape : int or tuple of int
            As for ``ndarray.reshape``.

        Returns
        -------
        Estimate
        """
        return self._rearranged(lambda a: a.reshape(*shape))

    def sum(self, axis: int | tuple[int, ...] | None = None) -> Estimate:
        """Sum of entries, as ``numpy.sum``.

        Parameters
        ----------
        axis : int or tuple of int, optional
            Axes to sum over; all by default.

        Returns
        -------
        Estimate
        """
        return self.map(lambda a: np.sum(a, axis=axis))

    def mean(self, axis: int | tuple[int, ...] | None = None) -> Estimate:
        """Average of entries, as ``numpy.mean``.

        Parameters
        ----------
        axis : int or tuple of int, optional
            Axes to average over; all by default.

        Returns
        -------
        Estimate
        """
        return self.map(lambda a: np.mean(a, axis=axis))

    def _rearranged(self, move: Callable[[Floats], Floats]) -> Estimate:
        """The estimate with entries moved."""
        value = move(self.value)
        replicas = np.array([move(r) for r in self.replicas]).reshape(self.n_blocks, *value.shape)
        return Estimate(value, replicas, self.weights, move(self.systematic))

    def __getitem__(self, index: Any) -> Estimate:
        if isinstance(index, tuple):
            return Estimate(
                self.value[index], self.replicas[(slice(None), *index)], self.weights, self.systematic[index]
            )
        return self[(index,)]

    def __len__(self) -> int:
        if not self.ndim:
            raise InputTypeError("an estimate of one number has no length")
        return len(self.value)

    def __iter__(self) -> Iterator[Estimate]:
        if not self.ndim:
            raise InputTypeError("an estimate of one number cannot be iterated over")
        return (self[i] for i in range(len(self)))

    def __format__(self, spec: str) -> str:
        if spec[-1:] not in tuple("eEfFgGn%"):
            return format(str(self), spec)
        if self.ndim:
            return "[" + ", ".join(format(e, spec) for e in self) + "]"
        return format(float(self.value), spec)

    def __str__(self) -> str:
        if self.ndim:
            return "[" + ", ".join(str(e) for e in self) + "]"
        return format_value(float(self.value), float(self.error), float(self.systematic))

    def __repr__(self) -> str:
        if self.size <= _MOST_SHOWN and len(text := str(self)) <= _LONGEST_SHOWN:
            return f"Estimate({text})"
        ends = ", ".join(str(e) for e in self.reshape(-1)[:3])
        return f"Estimate([{ends}, ...], shape {self.shape})"

    def _repr_html_(self) -> str:
        """Values and both errors in a notebook; of many entries the first ones."""
        flat = self.reshape(-1)[:_MOST_ROWS] if self.ndim else [self]
        index = list(np.ndindex(self.shape))[:_MOST_ROWS] if self.size < 10**6 else [(i,) for i in range(_MOST_ROWS)]
        rows = [
            (", ".join(map(str, i)), str(e), float(e.value), float(e.error), float(e.systematic))
            for i, e in zip(index, flat, strict=True)
        ]
        headings = ("entry", "value(errors)", "value", "statistical error", "systematic error")
        shape = f" of shape {self.shape}" if self.ndim else ""
        title = f"Estimate{shape} from {len(self.weights)} blocks"
        if not self.ndim:
            return card(title, headings=headings[1:], rows=[rows[0][1:]])
        notes = [f"and {self.size - len(rows)} more entries"] if self.size > len(rows) else []
        return card(title, headings=headings, rows=rows, notes=notes)


# Entries of an estimate in its repr, and the characters of all of them; longer ones are shortened.
_MOST_SHOWN, _LONGEST_SHOWN = 32, 360
# Entries in a notebook.
_MOST_ROWS = 10


def _stacked(estimates: Sequence[Estimate]) -> list[Floats]:
    """Values and then replicas of estimates, (R, *S) each; they must come from the same blocks."""
    weights = estimates[0].weights
    for other in estimates[1:]:
        if not np.array_equal(other.weights, weights):
            raise InputError(
                f"estimates must come from the same blocks; got {weights.size} and {other.n_blocks} blocks; make them "
                "from one run, or combine values and total errors of independent ones by hand"
            )
    return [np.concatenate([e.value[None], e.replicas]) for e in estimates]


def _of_stack(stacked: ArrayLike, weights: Floats, systematic: ArrayLike = 0.0) -> Estimate:
    """The estimate of values and replicas, (R, *S)."""
    values = np.asarray(stacked)
    if values.ndim == 0 or len(values) != weights.size + 1:
        raise InputError(
            f"function must return arrays with an axis of {weights.size + 1} replicas in front; got shape "
            f"{values.shape}; sums over all axes remove it"
        )
    return Estimate(values[0], values[1:], weights, systematic)


def _real(result: Any) -> Floats:
    """A result of a function as float64, or an error if it is not real."""
    try:
        array = np.asarray(result)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "fiub":
        got = array.dtype if array.dtype.kind != "O" else type(result).__name__
        raise InputTypeError(f"function must return real numbers; got {got}; return an array of real numbers")
    return np.asarray(array, dtype=np.float64)


def _propagated(call: Callable[..., Floats], estimates: Sequence[Estimate], shape: tuple[int, ...]) -> Floats:
    """Systematic error of a function: absolute first-order changes by all systematic errors, added."""
    total = np.zeros(shape)
    for i, estimate in enumerate(estimates):
        for place in np.argwhere(estimate.systematic > 0):
            where, sides = tuple(place), []
            for sign in (1, -1):
                arrays = [e.value.copy() for e in estimates]
                arrays[i][where] += sign * STEP * estimate.systematic[where]
                sides.append(call(*(a if a.ndim else a[()] for a in arrays)))
            total += np.abs(sides[0] - sides[1]) / (2 * STEP)
    return total


class SymmetricEstimate(Estimate):
    """A symmetric matrix whose replicas, which take most of the memory, are computed on first use.

    ``rows(begin, end)`` returns the estimate of rows begin .. end - 1 up to the diagonal, one after the other.
    """

    __slots__ = ("_error", "_rows")

    _error: Floats

    def __init__(self, rows: Callable[[int, int], Estimate], size: int, n_blocks: int) -> None:
        self._rows, self._replicas = rows, None
        # One megabyte of rows at a time: the allocator reuses the memory, and it stays in cache.
        most, begin, parts = 2**17 // (n_blocks + 1), 0, []
        while begin < size:
            end = begin + 1
            while end < size and ((end + 1) * (end + 2) - begin * (begin + 1)) // 2 <= most:
                end += 1
            part = rows(begin, end)
            parts.append((part.value, part.error))
            begin = end
        self.weights = part.weights
        value, error = (np.concatenate(values) for values in zip(*parts, strict=True))
        self.value, self._error = _core.unpack_matrices(packed=np.stack([value, error]), size=size)
        self.systematic = np.broadcast_to(0.0, self.value.shape)

    def __reduce__(self) -> tuple[type[Estimate], tuple[Floats, Floats, Floats]]:
        return Estimate, (self.value, self.replicas, self.weights)

    @property
    def replicas(self) -> Floats:
        """Values with one block left out, shape (n_blocks, size, size)."""
        if self._replicas is None:
            size = len(self.value)
            self._replicas = np.asarray(_core.unpack_matrices(packed=self._rows(0, size).replicas, size=size))
        return self._replicas

    @property
    def error(self) -> Floats:
        """Statistical error, shape (size, size)."""
        return self._error


def format_value(value: float, error: float, systematic: float = 0.0) -> str:
    """A value and its error to at most two leading digits, 0.998(3); with a systematic error 0.998(3)(1)."""
    errors = [error] + ([systematic] if systematic > 0 else [])
    if not np.isfinite(value):
        return "unknown"
    largest = max((e for e in errors if np.isfinite(e)), default=0.0)
    if largest <= 0:
        return f"{value:.6g}" + ("" if np.isfinite(error) else "(?)")
    size = int(np.floor(np.log10(max(abs(value), largest))))
    if not -5 <= size <= 7:
        unit = 10.0**size
        return f"{format_value(value / unit, error / unit, systematic / unit)}e{size:+03d}"
    exponent = int(np.floor(np.log10(largest)))
    # Two digits of an error that begins with 1, 2 or 3, one digit otherwise; a nonzero error shows at least 1.
    digits = -exponent + (1 if largest / 10.0**exponent < 3.95 else 0)
    if digits > 0:
        parts = "".join(f"({_ceil(e, digits)})" if np.isfinite(e) else "(?)" for e in errors)
        return f"{value:.{digits}f}{parts}"
    parts = "".join(f"({e:.0f})" if np.isfinite(e) else "(?)" for e in errors)
    return f"{value:.0f}{parts}"


def _ceil(error: float, digits: int) -> str:
    units = round(error * 10.0**digits)
    return str(max(units, 1) if error > 0 else 0)


def jackknife(
    function: Callable[[Mapping[str, Floats]], Any], sums: Mapping[str, NDArray[Any]], sizes: ArrayLike
) -> Any:
    """Estimates of functions of sums over independent blocks.

    Parameters
    ----------
    function : callable
        Takes a mapping of arrays (R, ...) with R = n_blocks + 1: totals over all blocks, then totals with one block
        left out. The first axis must stay: an average over all entries of a row is ``a.mean(axis=-1)``, and a quotient
        by counts (R,) is ``a / n[:, None]``. Returns an array (R, ...), or a dict or tuple of arrays. The function may
        overwrite its arguments.
    sums : mapping of ndarray
        Arrays with a leading block axis, shape (n_blocks, ...).
    sizes : array_like
        Numbers of independent units in each block, shape (n_blocks,); empty blocks are left out.

    Returns
    -------
    Estimate, or a dict or tuple of Estimate
        The same structure as the return value of the function.

    Raises
    ------
    InputError
        If fewer than two blocks are not empty, or a result has no axis of replicas.
    """
    counts = np.asarray(sizes, dtype=np.float64)
    # Blocks that an interrupted run has not reached contain no information on fluctuations.
    held = counts > 0
    counts = counts[held]
    if counts.size < 2:
        raise InputError(f"errors need at least 2 blocks; got {counts.size}; use more paths")
    weights = counts.sum() / counts
    totals = {}
    for name, array in sums.items():
        total = array.sum(axis=0)
        totals[name] = np.empty((counts.size + 1, *total.shape))
        totals[name][0] = total
        np.subtract(total, array if held.all() else array[held], out=totals[name][1:])
    result = function(totals)

    def wrap(stacked: ArrayLike) -> Estimate:
        return _of_stack(stacked, weights)

    if isinstance(result, dict):
        return {name: wrap(values) for name, values in result.items()}
    if isinstance(result, tuple):
        return tuple(wrap(values) for values in result)
    return wrap(result)
