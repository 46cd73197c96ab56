"""Estimates to and from plain jackknife and bootstrap samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, Rng, floats, generator_of, integer
from .._memory import need_memory
from ..errors import InputError
from ..statistics.estimate import Estimate
from .packing import Estimates, Systematic, components, packed

__all__ = ["from_bootstrap", "from_jackknife", "to_bootstrap", "to_jackknife"]

# Fewest bootstrap samples: the error of an error from fewer is above a tenth.
_FEWEST_SAMPLES = 50

# Squared distance of unit vectors that differ by rounding.
_ROUNDING = 1e-26


def to_jackknife(estimates: Estimates, *, systematic: Systematic = "refuse") -> Any:
    r"""Delete-one jackknife samples of equal blocks.

    The statistical error and the covariance are those of the textbook formula,

    .. math:: \Sigma_{ij} = \frac{B-1}{B} \sum_b (\theta_{i(b)} - \bar\theta_i)(\theta_{j(b)} - \bar\theta_j) .

    For blocks of equal size these are the replicas of the estimates, bit for bit. Blocks of unequal size are turned
    into equal ones with the same covariance, by a reflection in the space of blocks. It is close to the identity if the
    sizes are close to each other.

    Parameters
    ----------
    estimates : Estimate, or sequence or mapping of Estimate
        Estimates of the same blocks.
    systematic : {"refuse", "leave out"}
        Treatment of systematic errors, for which jackknife samples have no place.

    Returns
    -------
    ndarray, or list or dict of ndarray
        Shape (n_blocks, *S) for each estimate, float64, unit of the estimate. Row b of all of them leaves out the same
        block.

    Raises
    ------
    InputError, InputTypeError
        If estimates come from different blocks, are not finite or have systematic errors.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> samples = to_jackknife(run.connected())
    >>> samples.shape
    (128, 9)
    >>> from_jackknife(samples, run.connected().value).error.round(4)[:3]
    array([0.0038, 0.0038, 0.0038])
    """
    vector, spread = packed(estimates)
    components(vector, systematic, possible=False)
    return spread(equal_jackknife(vector))


def equal_jackknife(vector: Estimate) -> Floats:
    """Jackknife samples of equal blocks with the covariance of an estimate of shape (K,), shape (n_blocks, K)."""
    if np.all(vector.weights == vector.weights[0]):
        return np.array(vector.replicas)
    n = vector.n_blocks
    return np.asarray(vector.value - np.sqrt(n / (n - 1)) * _centred(vector))


def _centred(vector: Estimate) -> Floats:
    """Deviations that sum to zero over the blocks, with the covariance of the estimate."""
    deviations, weights = vector.deviations(), vector.weights
    # The sum of deviations with these coefficients vanishes. A reflection turns the coefficients into equal ones.
    null = np.sqrt(weights - 1) / weights
    normal = null / np.linalg.norm(null) - 1 / np.sqrt(len(null))
    square = normal @ normal
    # Rounding alone has no direction.
    if square > _ROUNDING:
        deviations = deviations - np.outer(2 / square * normal, normal @ deviations)
    return np.asarray(deviations)


def from_jackknife(samples: ArrayLike, value: ArrayLike | None = None, sizes: ArrayLike | None = None) -> Estimate:
    """An estimate of delete-one jackknife samples.

    Parameters
    ----------
    samples : array_like
        Values with one block left out, shape (n_blocks, *S), at least 2 blocks, finite.
    value : array_like, optional
        Value of all data, shape S; by default the average of the samples, which differs from it by the jackknife
        estimate of the bias.
    sizes : array_like, optional
        Sizes of the blocks, shape (n_blocks,), positive; equal by default.

    Returns
    -------
    Estimate
        Shape S. Its error covers the fluctuation between the blocks, which must be independent. Estimates of the same
        blocks are correlated in all that is computed from them.

    Raises
    ------
    InputError, InputTypeError
        If a shape does not fit, there are fewer than 2 blocks, or a number is not finite.

    Examples
    --------
    >>> data = np.array([1.0, 2.0, 3.0, 4.0])
    >>> print(from_jackknife((data.sum() - data) / 3))
    2.5(6)
    """
    array = floats("samples", samples)
    if array.ndim == 0 or len(array) < 2:
        raise InputError(f"samples must have shape (n_blocks, ...) with at least 2 blocks; got shape {array.shape}")
    n = len(array)
    weights = np.full(n, float(n))
    if sizes is not None:
        counts = floats("sizes", sizes, 1)
        if counts.shape != (n,) or np.any(counts <= 0):
            raise InputError(f"sizes must be {n} positive numbers, one for each sample; got shape {counts.shape}")
        weights = counts.sum() / counts
    # Each sample has the weight of the data in it.
    inside = 1 - 1 / weights
    mean = np.tensordot(inside, array, 1) / inside.sum()
    return Estimate(_value(value, mean), array, weights)


def to_bootstrap(
    estimates: Estimates, n_samples: int = 1000, *, rng: Rng = None, systematic: Systematic = "refuse"
) -> Any:
    r"""Bootstrap samples: blocks drawn with replacement, to first order in their fluctuations.

    .. math:: \theta^*_i = \theta_i + \sum_b (m_b - 1)\, D_{bi}

    :math:`m_b` counts how often block b is drawn, and :math:`D` are deviations with :math:`D^T D = \Sigma`, so that the
    samples have the covariance of the estimates on average (Efron, Ann. Stat. 7, 1 (1979)). Errors computed from n
    samples have relative errors of :math:`1/\sqrt{2n}`.

    Parameters
    ----------
    estimates : Estimate, or sequence or mapping of Estimate
        Estimates of the same blocks.
    n_samples : int, default 1000
        Number of samples.
    rng : int, SeedSequence, Generator or None
        By NumPy's conventions.
    systematic : {"refuse", "component", "leave out"}
        Treatment of systematic errors. A component is normal noise of this size, independent for each entry: its
        correlations are unknown.

    Returns
    -------
    ndarray, or list or dict of ndarray
        Shape (n_samples, *S) for each estimate, float64, unit of the estimate. Row k of all of them is the same draw.

    Raises
    ------
    InputError, InputTypeError
        If estimates come from different blocks, are not finite or have systematic errors.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 8192, 16, 0.2, rng=1)
    >>> samples = to_bootstrap(run.connected(), 400, rng=1)
    >>> samples.shape
    (400, 9)
    """
    vector, spread = packed(estimates)
    n = integer("n_samples", n_samples, 1)
    own = components(vector, systematic)
    need_memory(8.0 * n * (vector.size + 2 * vector.n_blocks), "the samples", "use fewer of them")
    generator = generator_of(rng)
    counts = generator.multinomial(vector.n_blocks, np.full(vector.n_blocks, 1 / vector.n_blocks), size=n)
    samples = vector.value + (counts - 1.0) @ _centred(vector)
    if np.any(own > 0):
        samples += own * generator.normal(size=samples.shape)
    return spread(samples)


def from_bootstrap(samples: ArrayLike, value: ArrayLike | None = None) -> Estimate:
    """An estimate of bootstrap samples.

    Parameters
    ----------
    samples : array_like
        Shape (n_samples, *S), at least 50 samples, finite.
    value : array_like, optional
        Value of the data themselves, shape S; by default the average of the samples.

    Returns
    -------
    Estimate
        Shape S, with the covariance of the samples. Its error covers what the draws cover. ``n_blocks`` is the number
        of samples, not of independent data, so that ``consistency`` takes the covariance as better known than it is.

    Raises
    ------
    InputError, InputTypeError
        If a shape does not fit, there are too few samples, or a number is not finite.

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(1.0, 0.1, size=1000)
    >>> print(from_bootstrap(draws, 1.0))
    1.00(10)
    """
    array = floats("samples", samples)
    if array.ndim == 0 or len(array) < _FEWEST_SAMPLES:
        raise InputError(
            f"samples must have shape (n_samples, ...), n_samples at least {_FEWEST_SAMPLES}; got shape {array.shape}",
            "draw more of them",
        )
    n = len(array)
    mean = array.mean(axis=0)
    centre = _value(value, mean)
    return Estimate(centre, centre - (array - mean) * (np.sqrt(n) / (n - 1)), np.full(n, float(n)))


def _value(value: ArrayLike | None, mean: Floats) -> Floats:
    if value is None:
        return np.asarray(mean)
    given = floats("value", value)
    if given.shape != np.shape(mean):
        raise InputError(f"value must have the shape of one sample, {np.shape(mean)}; got {given.shape}")
    return given
