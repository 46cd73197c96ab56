"""Exact two-point functions at finite temperature."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

import numpy as np

from .._arguments import Floats, positive
from ..errors import InputError
from ..quantum.measures import ThermalMeasure
from ..quantum.oscillator import narrowing, thermal_ratio
from ..statistics.blas import one_blas_thread
from ..statistics.moments import central_moments
from ..theories.state_modes import ThermalModes
from ..theories.theory import Theory
from . import output_expansion, state_grids
from .inputs import MOST_POINTS, average_over_grids, input_spreads, locate_channel, need_units, open_form
from .output_expansion import Expansion, fixed_network
from .resolution import Hidden, hidden_by_grid

__all__ = ["thermal_measure"]

# Relative spread of values below which a channel is constant.
_CONSTANT = 1e-13


@one_blas_thread
def thermal_measure(
    theory: Theory, channel: int | str = 0, *, beta: float | None = None, tolerance: float = 1e-7
) -> ThermalMeasure:
    r"""Exact two-point function and moments at finite temperature, periodic in Euclidean time.

    .. math:: G(t) = \sum_\alpha c_\alpha(s_\beta)^2 \prod_i
              \left[\frac{\cosh \omega_i(\beta/2 - t)}{\cosh(\omega_i\beta/2)}\right]^{\alpha_i}, \qquad
              s_{\beta,i}^2 = \frac{\sigma_i^2}{2\omega_i} \coth\frac{\omega_i\beta}{2}

    Thermal oscillators are Gaussian, so that Mehler's formula holds for every pair of times, with coefficients at the
    thermal width. (Replacing each exponential of the ground-state sum by a cosh would be wrong.) Hamiltonians and
    chains among the inputs have the joint density :math:`K_t(y, y') K_{\beta - t}(y', y)/Z` at two times.

    Parameters
    ----------
    theory : Theory
        With at most three inputs, at zero or finite temperature.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.
    beta : float, optional
        Period, the Euclidean time hbar/kT, unit time; by default the period of a thermal theory.
    tolerance : float, default 1e-7
        Largest acceptable error, relative to the thermal variance.

    Returns
    -------
    ThermalMeasure

    Raises
    ------
    InputError
        If there is no period or two different ones, there are more than three inputs, beta is not a multiple of the
        step of a chain, a Hamiltonian has a continuum, or the tolerance is not reached.

    Examples
    --------
    >>> hot = thermal_measure(nnqm.harmonic_oscillator(), beta=2.0)
    >>> hot.connected([0.0, 1.0, 2.0]).round(6)  # coth(1)/2, 1/(2 sinh 1) and coth(1)/2
    array([0.656518, 0.425459, 0.656518])
    """
    period = theory.period if beta is None else positive("beta", beta)
    if period is None or (theory.period is not None and period != theory.period):
        raise InputError(
            f"beta must be given for an open theory and equal the period of a closed one; got beta={beta} for period "
            f"{theory.period}; give beta, or leave it out for a closed theory"
        )
    positive("tolerance", tolerance)
    opened = open_form(theory)
    output, direct = locate_channel(opened, channel)
    if not opened.all_oscillators:
        return _thermal_of_states(opened, output, direct, period, tolerance)
    omega = np.array(opened.omega)
    spread = input_spreads(opened) / np.sqrt(narrowing(omega, period))
    constants = {"hbar": theory.hbar, "mass": theory.mass, "beta": period, "tolerance": tolerance}

    if direct is not None:
        square = float(spread[direct] ** 2)
        need_units(square)
        return ThermalMeasure(
            mean=0.0,
            moments=np.array([square, 0.0, 3 * square**2]),
            commutator=theory.mass / theory.hbar * opened.sigma[direct] ** 2,
            # For H = p^2/2m + m omega^2 x^2/2 with hbar -> m sigma^2, kinetic and potential energy are equal.
            momentum_squared=theory.mass**2 * omega[direct] ** 2 * square,
            _function=partial(_of_input, square, float(omega[direct]), period),
            **constants,
        )
    # The tail contributes at early times only.
    found = output_expansion.expand(opened, output, spread, accuracy=tolerance, share=1e-5)
    if found.error > tolerance:
        raise InputError(
            f"thermal moments reach a relative error of {found.error:.1e} only, not tolerance={tolerance:g}, for "
            f"{theory.network!r}; saturated neurons and kinks in several inputs limit its accuracy: use a larger "
            "tolerance, or sample the theory"
        )

    return ThermalMeasure(
        mean=found.mean,
        moments=found.moments,
        commutator=theory.mass / theory.hbar * found.gradient,
        momentum_squared=np.nan,
        _function=partial(_of_expansion, found, omega, period),
        **constants,
    )


def _of_input(square: float, rate: float, beta: float, times: Floats) -> tuple[Floats, float]:
    """Connected function of a thermal oscillator, and its error."""
    return square * np.asarray(thermal_ratio(times, rate, beta)), 0.0


def _of_expansion(found: Expansion, omega: Floats, beta: float, times: Floats) -> tuple[Floats, float]:
    """Connected function from coefficients at the thermal width, and its error."""
    ratio = np.asarray(thermal_ratio(times, omega[:, None], beta))
    sums = np.empty(times.size)
    for i in range(times.size):
        total = found.coefficients[..., 0] ** 2
        for r in ratio[:, i]:
            total = np.tensordot(r ** np.arange(total.shape[0]), total, axes=(0, 0))
        sums[i] = total
    rest = found.beyond * ratio.max(axis=0, initial=0) ** (found.order + 1)
    # At t = 0 the tail is fully included and is not an error.
    moving = ratio.min(axis=0, initial=1) < 1
    return sums + rest, max(found.error * float(found.moments[0]), float(rest[moving].max(initial=0)))


# For each level of refinement, values and inputs on each of the shifted grids
Parts: TypeAlias = list[list[tuple[Floats, list[ThermalModes]]]]


def _of_traces(parts: Parts, mean: float, error: float, times: Floats) -> tuple[Floats, float]:
    """Connected function from traces over states, and its error."""
    totals = np.zeros((2, times.size))
    for total, of_level in zip(totals, parts, strict=True):
        for f, inputs in of_level:
            for i, t in enumerate(times):
                state = f
                for m in inputs:
                    state = np.tensordot(state, m.joint(float(t)), axes=(0, 0))
                total[i] += float((f * state).sum()) / len(of_level)
    return totals[0] - mean**2, float(np.abs(totals[0] - totals[1]).max(initial=0)) + error


def _hidden(theory: Theory, output: int, inputs: list[ThermalModes]) -> Hidden:
    """Bounds on what the grids of thermal modes hide of an output."""
    modes = [m.modes for m in inputs]
    laws = [m.joint(0.0).sum(axis=1) for m in inputs]
    return hidden_by_grid(fixed_network(theory), output, [m.points for m in modes], laws, [m.complete for m in modes])


def _thermal_of_states(
    theory: Theory, output: int, direct: int | None, beta: float, tolerance: float
) -> ThermalMeasure:
    """The measure by traces over states of every input on a product of grids."""
    rule = output_expansion.RULES_OF_INPUTS[theory.n_inputs][0]
    levels = list(state_grids.thermal_grids(theory, beta, rule, output_expansion.coarser(rule)))
    share = 1 / len(levels)
    parts: Parts = [[], []]
    powers = np.zeros((2, 4))
    hidden = []
    # A value near the mean, without which large means would cost digits
    centre: float | None = None
    for pair in levels:
        for k, inputs in enumerate(pair):
            if np.prod([m.modes.points.size for m in inputs]) > MOST_POINTS:
                raise InputError(
                    f"the product of the grids of {theory.n_inputs} inputs has more than {MOST_POINTS} points; "
                    "sample the theory"
                )
            grid = np.stack(np.meshgrid(*(m.modes.points for m in inputs), indexing="ij"), axis=-1)
            if direct is not None:
                f = grid[..., direct]
            else:
                f = np.asarray(fixed_network(theory)(grid)[..., output], dtype=np.float64)
                if k == 0:
                    hidden.append(_hidden(theory, output, inputs))
            laws = [m.joint(0.0).sum(axis=1) for m in inputs]
            if centre is None:
                centre = average_over_grids(f, laws)
            f = f - centre
            parts[k].append((f, inputs))
            powers[k] += [share * average_over_grids(f**n, laws) for n in (1, 2, 3, 4)]
    moments = [np.array(central_moments(*raw)) for raw in powers]
    assert centre is not None
    if not moments[0][0] > (_CONSTANT * centre) ** 2:
        moments = [np.zeros(3), np.zeros(3)]
    scale = float(moments[0][0])
    need_units(scale)
    unit = scale if scale > 0 else max(float(powers[0, 1]), 1e-150)
    reached = max(
        abs(powers[0, 0] - powers[1, 0]) / np.sqrt(unit),
        float((np.abs(moments[0] - moments[1]) / unit ** (np.arange(2, 5) / 2)).max()),
        *(h.relative(float(moments[0][0])) for h in hidden),
    )
    if reached > tolerance:
        raise InputError(
            f"thermal moments reach a relative error of {reached:.1e} only, not tolerance={tolerance:g}, for "
            f"{theory.network!r} on {theory.sources}; use smooth networks or a larger tolerance"
        )

    error = max((float(h.errors(scale)[1]) for h in hidden), default=0.0)

    alone = direct is not None and theory.n_inputs == 1 and theory.sources[0].ground_state_of is not None
    return ThermalMeasure(
        mean=centre + float(powers[0, 0]),
        moments=moments[0],
        # The commutator of a coordinate is a number.
        commutator=1.0 if alone else np.nan,
        momentum_squared=np.nan,
        hbar=theory.hbar,
        mass=theory.mass,
        beta=beta,
        tolerance=tolerance,
        _function=partial(_of_traces, parts, float(powers[0, 0]), error),
    )
