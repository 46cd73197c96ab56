"""The physics of the theories along a training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import Floats, Rng, choice
from ..display import Drawn
from ..errors import InputError, InputTypeError
from ..progress import ProgressBar
from ..runs.simulation import Interrupted
from ..sampling.run_settings import need_known
from ..statistics.blas import one_blas_thread
from ..verdict import Verdict
from .physics import NUMBERS, OF_LEVELS, Origin, Physics, PhysicsSettings, Plan, failed
from .tables import arrays_of, dataset_of
from .trajectory import Trajectory

if TYPE_CHECKING:
    from xarray import Dataset

__all__ = ["Series", "TrainingDynamics", "training_dynamics"]

# Origins without a value.
_NO_VALUE = (Origin.UNRESOLVED, Origin.ABSENT)
# Largest number of levels in the printed table.
_SHOWN_LEVELS = 5


@dataclass(frozen=True)
class Series:
    """One quantity along a training.

    Attributes
    ----------
    values, errors : ndarray
        Shape (S,), or (S, n) for n levels; NaN if there is no value.
    origins : ndarray of str
        Texts of ``Origin``, of the same shape: "exact", "averaged", "measured", "unresolved" or "absent".
    """

    values: Floats
    errors: Floats
    origins: NDArray[Any]


@dataclass(frozen=True, repr=False)
class TrainingDynamics(Drawn, picture="training"):
    """Result of ``training_dynamics``; ``print`` shows it as a table.

    Attributes
    ----------
    steps : tuple of int
        Numbers of training steps.
    losses : tuple of float or None
        Loss at each of them, if the trajectory has it.
    physics : tuple of Physics
        The numbers at each of them.
    channel : int or str
        The channel, as it was given.
    key : int
        Root of all random numbers.
    """

    steps: tuple[int, ...]
    losses: tuple[float, ...] | None
    physics: tuple[Physics, ...]
    channel: int | str
    key: int

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return len(self.physics[0].numbers["gap"]) if self.physics else 0

    @property
    def p_values(self) -> Floats:
        """p-values of reflection positivity by tests on paths, shape (S,); NaN without a test.

        Tests at different steps use independent paths, except the networks of ensembles, so that a training of S steps
        has S chances of a false alarm.
        """
        return np.array([p.p_value for p in self.physics])

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Verdicts on reflection positivity, length S."""
        return tuple(p.verdict for p in self.physics)

    def __getitem__(self, name: str) -> Series:
        """One of "variance", "kurtosis", "commutator", "uncertainty", "gap" and "weight"."""
        wanted = choice("name", name, (*NUMBERS, *OF_LEVELS))
        values, errors, origins = arrays_of(self.physics, wanted)
        return Series(values, errors, origins)

    def to_xarray(self) -> Dataset:
        """All numbers as a dataset over the dimensions ``step`` and ``level``.

        Returns
        -------
        xarray.Dataset
            For each quantity its values, errors (``kurtosis_error``) and origins (``kurtosis_origin``); ``p_value``,
            ``positivity`` (the verdict), ``reason``, and ``loss`` if it is known. ``to_netcdf`` saves it.
        """
        dataset = dataset_of(self.physics, {"step": np.array(self.steps)}, (len(self.steps),), self.key)
        if self.losses is not None:
            dataset["loss"] = ("step", np.array(self.losses))
        return dataset

    def __repr__(self) -> str:
        span = f"steps {self.steps[0]} to {self.steps[-1]}" if self.steps else "no steps"
        return f"TrainingDynamics({len(self.steps)} theories, {span}, {self.n_levels} levels)"

    def __str__(self) -> str:
        table = [line for line in self._lines()]
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in table]
        return "\n".join([*lines, *(f"note: {note}" for note in self._notes())])

    def _lines(self) -> Iterator[list[str]]:
        shown = min(self.n_levels, _SHOWN_LEVELS)
        loss = [] if self.losses is None else ["loss"]
        heads = ["step", *loss, *(f"|<0|x|{n}>|^2" for n in range(1, shown + 1))]
        yield [*heads, "kurtosis", "[x,p]/(i hbar)", "dx dp", "p(positive)", "verdict"]
        for i, (step, found) in enumerate(zip(self.steps, self.physics, strict=True)):
            numbers = [*found.numbers["weight"][:shown]]
            numbers += [found.numbers[name][0] for name in ("kurtosis", "commutator", "uncertainty")]
            of_loss = [] if self.losses is None else [f"{self.losses[i]:.4g}"]
            p = "-" if math.isnan(found.p_value) else f"{found.p_value:.2g}" if found.p_value > 0 else "<1e-300"
            yield [str(step), *of_loss, *map(str, numbers), p, str(found.verdict)]

    def _notes(self) -> list[str]:
        """Reasons for missing values and verdicts, each with the steps that it is about."""
        where: dict[tuple[str, str], list[int]] = {}
        for step, found in zip(self.steps, self.physics, strict=True):
            for name, quantities in found.numbers.items():
                for reason in dict.fromkeys(q.reason for q in quantities if q.origin in _NO_VALUE):
                    where.setdefault((name, reason), []).append(step)
            if found.reason:
                where.setdefault(("positivity", found.reason), []).append(step)
        # Quantities with the same reason at the same steps share a note.
        names: dict[tuple[str, tuple[int, ...]], list[str]] = {}
        for (name, reason), steps in where.items():
            names.setdefault((reason, tuple(steps)), []).append(name)
        everywhere = len(self.steps)
        return [
            f"{', '.join(of)}: {reason}"
            + ("" if len(steps) == everywhere else f" (steps {', '.join(map(str, steps))})")
            for (reason, steps), of in names.items()
        ]


@one_blas_thread
def training_dynamics(
    trajectory: Trajectory,
    channel: int | str = 0,
    *,
    n_levels: int = 5,
    times: ArrayLike | None = None,
    rng: Rng = None,
    **settings: Unpack[PhysicsSettings],
) -> TrainingDynamics:
    r"""The physics of the theories along a training: levels, kurtosis, commutator, uncertainty, positivity.

    With fixed weights on Ornstein-Uhlenbeck inputs the levels are sums of the input frequencies, which a training of
    the network cannot move. It moves the weights :math:`|\langle 0|x|n\rangle|^2`, and with them

    .. math:: \frac{[x, p]}{i\hbar} = \frac{2m}{\hbar^2} \sum_n \epsilon_n |\langle 0|x|n\rangle|^2, \qquad
              \langle p^2\rangle = \frac{m^2}{\hbar^2} \sum_n \epsilon_n^2 |\langle 0|x|n\rangle|^2 .

    A network on these inputs is reflection positive at each step. Networks of t are not positive, and no training makes
    them positive, because their paths are differentiable.

    Numbers are exact where the package has an exact answer (``kallen_lehmann``, ``level_energies``,
    ``thermal_measure``). With random weights on random inputs they are averages over draws of exact answers
    (``average_over_weights``). All others are measured on paths with jackknife errors; values that are not resolved
    have no number. For theories that are not stationary kurtosis, variance and commutator refer to the last time of
    the grid.

    Parameters
    ----------
    trajectory : Trajectory
        Of ``fit``, of a trained ensemble (``Trajectory.of_ensemble``), of checkpoints (``Trajectory.of_checkpoints``)
        or of any theories.
    channel : int or str, default 0
        Position among the outputs, or the name of any channel.
    n_levels : int, default 5
        Number of levels above the ground state.
    times : array_like, optional
        Uniform grid of the paths, shape (n_times,), unit time, at least 4 times. By default 64 natural steps of the
        sources. For theories that are not stationary: 33 times in the interval of the sources, or around 0. Their
        reflection time is the middle of the grid.
    rng : int, SeedSequence, Generator or None
        Randomness of all measurements, by NumPy's conventions. Paths at different steps are independent. Draws of the
        weights, for averages of exact answers, are the same at all steps, so that changes along the training are
        more precise than each number.
    **settings : PhysicsSettings
        n_paths : int, paths of each measurement and of each test, 20000 by default, at least 200. n_draws : int, draws
        of random weights. positivity : bool, whether reflection positivity is tested on paths. precision, n_threads
        as for ``simulate``. progress : callable, called with (steps done, all steps), bool or None.

    Returns
    -------
    TrainingDynamics
        A step whose theory fails, for example because its weights diverged, is unresolved, with the reason.

    Raises
    ------
    InputError, InputTypeError
        If an argument does not fit; before work starts.
    Interrupted
        On Ctrl-C; its ``partial`` is the result for the finished steps, or None.

    Examples
    --------
    >>> start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="sin"))
    >>> networks = [start.network.with_parameters([w, 0.0, 1.0, 0.0]) for w in (1.0, 2.0)]
    >>> along = nnqm.Trajectory.of_checkpoints(start, networks, [0, 100])
    >>> found = training_dynamics(along, n_levels=3, positivity=False)
    >>> found["weight"].values.round(4)  # sin(w y): exp(-w^2/2) (w^2/2)^n/n!, odd n
    array([[0.3033, 0.    , 0.0126],
           [0.2707, 0.    , 0.1804]])
    >>> found.verdicts
    ('positive by construction', 'positive by construction')
    """
    need_known(training_dynamics, settings, PhysicsSettings)
    if not isinstance(trajectory, Trajectory):
        raise InputTypeError(
            f"trajectory must be a Trajectory; got {type(trajectory).__name__}; nnqm.Trajectory(steps, theories), "
            "Trajectory.of_ensemble and Trajectory.of_checkpoints make one, and fit(...).trajectory is one"
        )
    plan = Plan.of(channel, n_levels, times, rng, settings)
    for theory in trajectory.theories:
        theory.channel_name(channel)
    bar = ProgressBar("training_dynamics", "steps/s", settings.get("progress"))
    found: list[Physics] = []

    def result() -> TrainingDynamics:
        losses = None if trajectory.losses is None else trajectory.losses[: len(found)]
        return TrainingDynamics(trajectory.steps[: len(found)], losses, tuple(found), channel, plan.key)

    try:
        with bar as tell:
            for step, theory in zip(trajectory.steps, trajectory.theories, strict=True):
                try:
                    found.append(plan.physics(theory, step))
                except InputError as error:
                    found.append(failed(error.reason, plan.n_levels))
                tell(len(found), len(trajectory.steps))
    except KeyboardInterrupt:
        raise Interrupted(result() if found else None, f"{len(found)} steps") from None
    return result()
