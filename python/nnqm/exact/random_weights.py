"""Averages of exact results over draws of random weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, floats
from ..errors import InputError, InputTypeError
from ..representation import short_repr
from ..statistics.blas import one_blas_thread
from ..statistics.estimate import Estimate, jackknife
from ..statistics.moments import central_moments
from ..theories.networks import Network
from ..theories.state_modes import Modes
from ..theories.theory import Theory
from . import output_expansion, state_grids
from .energies import level_energies
from .inputs import need_few_inputs, need_states
from .resolution import Hidden, hidden_by_modes

__all__ = ["WeightAverage", "average_over_weights"]

# Half-width, nodes and highest polynomial of the quadrature, by number of inputs.
_RULES_OF_DRAWS = {1: (11.0, 256, 160), 2: (9.5, 104, 56), 3: (8.0, 44, 24)}
# Largest number of values of networks in memory at once.
_CHUNK = 2_000_000
# Largest number of blocks of draws.
_BLOCKS_OF_DRAWS = 128


@short_repr
@dataclass(frozen=True, kw_only=True)
class WeightAverage:
    """Exact results averaged over draws of the weights of a network: without noise from paths.

    Attributes
    ----------
    times : ndarray
        Shape (k,), unit time.
    mean : Estimate
        E[c_0], where c_0 is the expectation value of x at given weights.
    moments : Estimate
        Central moments 2, 3, 4 of x over paths and weights, shape (3,).
    two_point : Estimate
        E[G(t)], shape (k,).
    connected : Estimate
        E[G(t) - c_0^2], where the mean is subtracted at given weights, shape (k,).
    plateau : Estimate
        E[c_0^2], the limit of ``two_point`` at late times, because weights label superselection sectors.
    energies : ndarray
        Gaps of the lowest levels, energy units, shape (n,).
    weights : Estimate
        E of the sum of |<0|x|n>|^2 over the states of each level, shape (n,).
    n_draws : int
        Number of draws.

    Statistical errors are jackknife errors over blocks of draws. Systematic errors are the change with a coarser
    quadrature and a bound on what the grids step over, where they exceed a hundredth of the statistical error, and zero
    elsewhere.
    """

    times: Floats
    mean: Estimate
    moments: Estimate
    two_point: Estimate
    connected: Estimate
    plateau: Estimate
    energies: Floats
    weights: Estimate
    n_draws: int


@one_blas_thread
def average_over_weights(
    theory: Theory,
    networks: Iterable[Network],
    times: ArrayLike = (),
    channel: int | str = 0,
    *,
    n_levels: int = 8,
) -> WeightAverage:
    r"""Two-point function, moments and level weights of a theory with random weights, exact at given weights.

    .. math:: E_\theta[G(t)] = E_\theta[c_0(\theta)^2] + \sum_\alpha E_\theta[c_\alpha(\theta)^2]\,
              e^{-\epsilon_\alpha t/\hbar}

    The coefficients of each draw theta are exact, so that only the average over draws has an error (Rao-Blackwell: a
    known conditional average reduces the variance).

    Parameters
    ----------
    theory : Theory
        Source of the inputs, at most three, and of hbar and mass; its network is not used.
    networks : iterable of Network
        Independent draws of the weights, at least two.
    times : array_like
        Lags of the two-point function, shape (k,), unit time.
    channel : int or str, default 0
        Position or name of an output of the networks.
    n_levels : int, default 8
        Number of levels whose weights are computed.

    Returns
    -------
    WeightAverage

    Raises
    ------
    InputError, InputTypeError
        With more than three inputs, fewer than two networks, or networks with other numbers of inputs or outputs.

    Notes
    -----
    A thousand draws take about a second for one input and ten times longer for two or three. Grids are coarser than
    in ``kallen_lehmann``, because the error of the draws dominates. Systematic errors include the effect of kinks and
    saturated neurons.

    Examples
    --------
    >>> source = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    >>> draws = [nnqm.Network([[[1.0]], [[v]]], [[0.5], [0.0]], "sin") for v in (1.0, -1.0, 2.0, -2.0)]
    >>> found = average_over_weights(source, draws, [0.0, 1.0])
    >>> float(found.plateau.value.round(10))  # 5/2 exp(-1/2) sin(1/2)^2
    0.3485259321
    """
    need_states(theory)
    need_few_inputs(theory)
    draws = list(networks)
    if len(draws) < 2:
        raise InputError(f"networks must have at least 2 entries; got {len(draws)}; draw more")
    for i, network in enumerate(draws):
        if not isinstance(network, Network):
            raise InputTypeError(f"networks[{i}] must be a Network; got {network!r}")
        if network.n_inputs != theory.n_inputs or network.n_outputs != draws[0].n_outputs:
            raise InputError(
                f"networks[{i}] must take {theory.n_inputs} inputs to {draws[0].n_outputs} outputs; got {network!r}"
            )
    ensemble = Theory(theory.sources, draws[0], hbar=theory.hbar, mass=theory.mass)
    column = ensemble.outputs.index(choice("channel", ensemble.channel_name(channel), ensemble.outputs))
    t = np.abs(np.atleast_1d(floats("times", times)))
    if t.ndim != 1:
        raise InputError(f"times must be one-dimensional; got shape {t.shape}")
    levels, _ = level_energies(theory, n_levels)
    rule = _RULES_OF_DRAWS[theory.n_inputs]
    grids = list(state_grids.grids(theory, rule, output_expansion.coarser(rule)))
    n_blocks = min(len(draws), _BLOCKS_OF_DRAWS)
    block = np.arange(len(draws)) * n_blocks // len(draws)
    sizes = np.bincount(block).astype(np.float64)

    def averages(s: Any) -> dict[str, Floats]:
        raw = (s["powers"] / s["size"][:, None]).T
        return {
            "mean": raw[0],
            "moments": np.stack(central_moments(*raw), axis=1),
            "plateau": s["plateau"] / s["size"],
            "connected": s["connected"] / s["size"][:, None],
            "two_point": (s["connected"] + s["plateau"][:, None]) / s["size"][:, None],
            "weights": s["weights"] / s["size"][:, None],
        }

    found = []
    for k in (0, 1):
        total: dict[str, Floats] = {}
        for pair in grids:
            parts = _of_draws(draws, column, pair[k], t, levels)
            for name, values in parts.items():
                total[name] = total.get(name, 0.0) + values / len(grids)
        sums = {
            name: np.stack([values[block == b].sum(axis=0) for b in range(n_blocks)]) for name, values in total.items()
        }
        found.append(jackknife(averages, {**sums, "size": sizes}, sizes))
    fine, coarse = found
    variance, square = float(fine["moments"].value[0]), float(fine["plateau"].value)
    hidden = _hidden_of_draws(draws, column, [pair[0] for pair in grids], variance, square)
    result = {}
    for name, estimate in fine.items():
        change = np.abs(estimate.value - coarse[name].value) + hidden[name]
        # Changes far below the statistical error are neglected.
        result[name] = estimate.with_systematic(np.where(change > 0.01 * estimate.error, change, 0.0))
    return WeightAverage(times=t, energies=levels, n_draws=len(draws), **result)


def _hidden_of_draws(
    draws: list[Network], column: int, grids: list[list[Modes]], variance: float, square: float
) -> dict[str, Floats]:
    """Largest errors of the averages, of given variance and plateau, by features that the grids step over."""
    powers = np.zeros(4)
    for network in draws:
        powers += np.max([hidden_by_modes(network, column, inputs).powers for inputs in grids], axis=0)
    errors = Hidden(powers / len(draws)).errors(variance)
    # |c_0 + D|^2 - |c_0|^2, with c_0 of the size of its root mean square
    plateau = errors[1] + 2 * np.sqrt(max(square, 0.0)) * errors[0]
    return {
        "mean": errors[0],
        "moments": errors[1:],
        "plateau": plateau,
        "two_point": plateau,
        "connected": plateau,
        "weights": plateau,
    }


def _of_draws(
    draws: list[Network], column: int, inputs: list[Modes], times: Floats, levels: Floats
) -> dict[str, Floats]:
    """Powers, squared mean, connected function and level weights of each draw on one product of grids."""
    grid = np.stack(np.meshgrid(*(m.points for m in inputs), indexing="ij"), axis=-1)
    energies: Floats = np.zeros(1)
    decay = np.ones((times.size, 1))
    for m in inputs:
        energies = np.add.outer(energies, m.energies).ravel()
        rates = np.stack([m.decay(float(s)) for s in times]) if times.size else np.ones((0, len(m.energies)))
        decay = (decay[:, :, None] * rates[:, None, :]).reshape(times.size, decay.shape[1] * rates.shape[1])
    # States that are not listed have at least the highest energy of one of the inputs.
    cutoff = min(float(m.energies[-1]) for m in inputs)
    rest = np.exp(-times * (cutoff / inputs[0].hbar))
    member = np.abs(energies[:, None] - levels) < 1e-9 * levels
    chunk = max(1, _CHUNK // grid[..., 0].size)
    out: dict[str, list[Floats]] = {name: [] for name in ("powers", "plateau", "connected", "weights")}
    for start in range(0, len(draws), chunk):
        x = np.stack([network(grid)[..., column] for network in draws[start : start + chunk]])
        c = x
        for m in inputs:
            # Each pass moves the first remaining axis to the end, which restores the order of the axes.
            c = np.tensordot(c, m.rows * m.rows[0], axes=(1, 1))
        squares = c.reshape(len(x), -1) ** 2
        powers = []
        square = x * x
        for mean in (x, square, square * x, square * square):
            for m in inputs:
                mean = np.tensordot(mean, m.law, axes=(1, 0))
            powers.append(mean)
        variance = powers[1] - powers[0] ** 2
        beyond = np.maximum(variance - squares[:, 1:].sum(axis=1), 0.0)
        out["powers"].append(np.stack(powers, axis=1))
        out["plateau"].append(powers[0] ** 2)
        out["connected"].append(squares[:, 1:] @ decay[:, 1:].T + np.multiply.outer(beyond, rest))
        out["weights"].append(squares @ member)
    return {name: np.concatenate(parts) for name, parts in out.items()}
