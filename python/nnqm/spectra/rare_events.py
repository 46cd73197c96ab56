"""States that live in rare events, which the errors of a run do not show when the events did not happen."""

from __future__ import annotations

from math import erfc, log1p, sqrt

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..sampling.correlators import Correlators
from ..statistics.estimate import Estimate
from ..theories.networks import RandomNetwork
from ..theories.state_modes import Modes
from .numbering import lowest_unseen

__all__: list[str] = []

# Half-width, nodes and highest polynomial of the quadrature over an Ornstein-Uhlenbeck input.
_RULE = (12.0, 320, 48)

# Amplitude below which a ground state is rounding.
_SMALLEST = 1e-15

# Smallest probability, in all blocks together, of the largest deviation of a block.
_OUTLIER_CHANCE = 1e-6


def standard_normal(t: float, freedom: int) -> float:
    """Student's t as a standard normal, to three digits (Wallace, Ann. Math. Stat. 30, 1124 (1959))."""
    return (8 * freedom + 1) / (8 * freedom + 3) * sqrt(freedom * log1p(t**2 / freedom))


def one_block_decides(gap: Estimate) -> bool:
    """Whether one block has a part of the error that independent blocks do not give it.

    The test of Grubbs, Ann. Math. Stat. 21, 27 (1950).
    """
    squares = (gap.replicas - gap.replicas.mean()) ** 2
    share = float(squares.max() / max(squares.sum(), np.finfo(float).tiny))
    freedom = len(squares) - 2
    z = standard_normal(sqrt(share * freedom / max(1 - share, 1e-12)), freedom)
    return len(squares) * erfc(z / sqrt(2)) < _OUTLIER_CHANCE


def expected_norm_errors(run: Correlators, n_states: int) -> Floats | None:
    r"""Relative errors that the norms of the lowest states have in a run of this size, whatever happened in it.

    .. math:: \mathrm{var} = \frac{1}{N} \sum_{m>0} \langle 0|q|m\rangle^2
        \frac1{T^2} \sum_{tt'} e^{-E_m |t - t'|/\hbar}, \qquad q = (\psi_n/\psi_0)^2

    with the exact states of a theory of one input. They say how well paths can show a state, not where it lies.

    Parameters
    ----------
    run : Correlators
    n_states : int
        Number of states, without the ground state.

    Returns
    -------
    ndarray or None
        Shape (n_states,), infinite for a state that the grid does not have; None where states are not known, the input
        is not seen, or there are several inputs.
    """
    modes = _modes(run)
    if modes is None or np.isfinite(lowest_unseen(run)):
        return None
    # States that alternate in sign are no levels.
    levels = np.flatnonzero(np.ones(len(modes.rows)) if modes.signs is None else modes.signs > 0)
    rows = modes.rows[levels[: n_states + 1]]
    ground = np.maximum(np.abs(rows[0]), _SMALLEST)
    law, squares = modes.law, (rows[1:] / ground) ** 2 - 1
    parts = ((squares * law) @ (modes.rows[1:] / ground).T) ** 2
    total = (squares**2) @ ground**2
    paths, steps = float(run.block_paths.sum()), run.n_times
    decay = np.clip(modes.decay(run.dt)[1:], -1 + 1e-9, 1 - 1e-9)
    of_path = ((1 + decay) / (1 - decay) - 2 * decay * (1 - decay**steps) / (steps * (1 - decay) ** 2)) / steps
    rest = np.maximum(total - parts.sum(axis=1), 0.0) / steps
    errors = np.full(n_states, np.inf)
    errors[: len(total)] = np.sqrt((parts @ np.clip(of_path, 0, 1) + rest) / paths)
    return errors


def _modes(run: Correlators) -> Modes | None:
    theory = run.theory
    if theory is None or theory.n_inputs != 1 or theory.period is not None or not theory.stationary:
        return None
    if isinstance(theory.network, RandomNetwork) or run.dt <= 0:
        return None
    try:
        return theory.sources[0].states(_RULE, _RULE, theory.hbar)[0][0]
    except InputError:
        return None
