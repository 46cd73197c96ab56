"""Networks that a theory with random weights draws and trains."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np

from .._arguments import Floats, Rng, choice, integer, key_of
from ..errors import InputError
from ..theories.networks import Network, RandomNetwork
from ..theories.theory import Theory
from .run_settings import path_range
from .stable_training import largest_rates, need_stable_training

__all__ = ["draw_weights", "stable_rates"]

# Numbers in an array, beyond any that a run can have.
_MOST = 2**53


def draw_weights(
    theory: Theory,
    paths: int | range,
    *,
    rng: Rng = None,
    key: int | None = None,
    negative: bool = False,
    precision: Literal["float32", "float64"] = "float64",
    n_threads: int = 0,
) -> list[Network]:
    """The weights that paths of a theory with random weights draw.

    Parameters
    ----------
    theory : Theory
        With a ``RandomNetwork``.
    paths : int or range
        Number of paths, the first ones, or a range of path indices with step 1.
    rng, key
        As for ``sample_paths``, the same as for the run.
    negative : bool, default False
        Draw the weights for t < 0, which differ in a network that is split at t = 0.
    precision : {"float64", "float32"}
        Arithmetic of the draws and of their training; a run in this precision has exactly these weights.
    n_threads : int, default 0
        Number of threads; 0 means all. The weights do not depend on it.

    Returns
    -------
    list of Network
        One for each group of paths that share their weights: path i has entry ``i // group - first // group``. Weights
        are trained if the network has a training. Both precisions have the same draws to rounding, which a training
        can amplify. A split network's output is W h(|t|) - W h(0) + b.

    Raises
    ------
    InputError
        If the weights of the theory are fixed, or the training of a network diverges (which network, at which step, and
        the largest stable rate).
    """
    if not isinstance(theory, Theory) or not isinstance(theory.network, RandomNetwork):
        raise InputError(f"theory must have random weights; got {theory!r}; RandomNetwork makes them")
    choice("precision", precision, ("float32", "float64"))
    integer("n_threads", n_threads, 0, 4096)
    chosen = path_range(paths)
    group = theory.network.group
    groups = range(chosen.start // group, (chosen.stop - 1) // group + 1)
    widths = theory.network.widths
    if len(groups) * sum((a + 1) * b for a, b in pairwise(widths)) > _MOST:
        raise InputError(
            f"paths must draw weights that fit into an array; got {len(groups)} groups; ask for ranges of paths"
        )
    run_key = key_of(rng, key)
    networks = theory.network.draw(groups, run_key, negative=negative, precision=precision, n_threads=n_threads)
    # All parameters of a network that diverges are NaN.
    if theory.network.is_trained and not all(np.isfinite(network.biases[-1]).all() for network in networks):
        need_stable_training(theory.network, run_key, precision, chosen)
    return networks


def stable_rates(
    theory: Theory, paths: int | range, *, rng: Rng = None, key: int | None = None, negative: bool = False
) -> Floats:
    r"""Largest stable rates of the training of a theory, for the networks of given paths before their training.

    .. math:: \eta_{max} = 2/\lambda_{max}, \qquad \lambda_{max} = \max \mathrm{spec}\,
              \bigl(\sqrt{w_i}\, \Theta_{ij} \sqrt{w_j}\bigr)

    Theta is the tangent kernel of the network at the points of the training
    (Lee et al., Adv. Neural Inf. Process. Syst. 32 (2019)). For networks that are linear in the trained weights the
    bound is exact: above it the loss grows. Other networks move away from their start, and their bound changes.

    Parameters
    ----------
    theory : Theory
        With a ``RandomNetwork`` that has a training.
    paths : int or range
        Number of paths, the first ones, or a range of path indices with step 1.
    rng, key
        As for ``sample_paths``, the same as for the run.
    negative : bool, default False
        Take the weights for t < 0, which differ in a network that is split at t = 0.

    Returns
    -------
    ndarray
        One rate for each group of paths that share their weights; infinite if no trained weight changes the output.

    Raises
    ------
    InputError
        If the theory has no training.

    Examples
    --------
    >>> training = nnqm.GradientDescent([-1.0, 1.0], [0.5, -0.5], rate=0.1, steps=50)
    >>> network = nnqm.RandomNetwork((1, 16, 1), "erf", weight_std=1.5, bias_std=0.5, training=training)
    >>> bool(nnqm.stable_rates(nnqm.Theory(nnqm.Times(), network), 10, rng=1).min() > 0.1)
    True
    """
    if not isinstance(theory, Theory) or not isinstance(theory.network, RandomNetwork) or not theory.network.training:
        raise InputError(
            f"theory must have a RandomNetwork with a training; got {theory!r}; with_training gives it one"
        )
    chosen, group = path_range(paths), theory.network.group
    groups = range(chosen.start // group, (chosen.stop - 1) // group + 1)
    return largest_rates(theory.network, theory.network.training, groups, key_of(rng, key), negative)
