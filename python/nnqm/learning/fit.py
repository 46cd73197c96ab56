"""Fits of theories to targets: correlators, spectral weights, moments, commutators and gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypedDict, Unpack

import numpy as np

from .._arguments import Floats, Rng, choice, generator_of, integer, positive
from ..errors import InputError, InputTypeError, OneLine
from ..exact.output_expansion import fixed_network
from ..progress import Progress, ProgressBar, Showing
from ..representation import card, short_repr
from ..runs.crew import Crew, Workers, crew_of
from ..sampling.run_settings import need_known
from ..statistics.blas import one_blas_thread
from ..theories.networks import Network
from ..theories.theory import Theory
from .feasibility import check_targets, nearest_on_lattice
from .goodness import TargetQuality, judge
from .observables import NPoint
from .optimisers import (
    ADAM_RATE,
    FAILURES,
    METHODS,
    PATIENCE,
    STEPS,
    Ends,
    Point,
    Problem,
    Stopped,
    Watch,
    default_rate,
)
from .parameters import POSITIVE, FreeParameters, learnable
from .targets import Target
from .trajectory import Trajectory

__all__ = ["Fit", "FitError", "FitInterrupted", "FitSettings", "fit"]

# Standard deviations of new weights times the root of the fan-in (in units of the inputs), of new biases, and of new
# logarithms and other parameters relative to their size.
_WEIGHTS, _BIASES, _JITTER = 1.5, 0.5, 0.5

# Numerical errors that are mentioned, relative to statistical ones.
_NOTED = 0.1


class FitSettings(TypedDict, total=False):
    """Settings of ``fit``.

    Attributes
    ----------
    steps : int
        Largest number of steps of each start; 1000 for least squares, 3000 for L-BFGS, 5000 for Adam and gradient
        descent by default.
    rate : float
        Constant rate of gradient descent (by default a tenth of the largest stable one at the start, 2/lambda with
        lambda the largest eigenvalue of J^T J), or of Adam (0.01).
    restarts : int
        Further starts with new random parameters, 0 by default; the best start is the result.
    loss_tolerance : float
        A fit ends when the loss is at most this number.
    gradient_tolerance : float
        A fit ends when no derivative of the loss exceeds this number.
    patience : int
        A fit ends when the loss has not fallen by 1e-6 of its value, and chi^2 of measured targets by 0.01, in this
        number of steps; None for no end. The default is 20 for least squares and 100 for L-BFGS with measured targets,
        and None otherwise.
    progress : callable, bool or None
        Called with (steps done, largest number of steps) about five times a second; after each start if there are
        workers. Or whether a bar is shown, see ``simulate``.
    executor : concurrent.futures.Executor or callable
        Workers that do the starts, or a function that makes them, as for ``simulate``; the fit is the same.
    """

    steps: int
    rate: float | None
    restarts: int
    loss_tolerance: float | None
    gradient_tolerance: float | None
    patience: int | None
    progress: Showing
    executor: Workers | None


@short_repr
@dataclass(frozen=True, kw_only=True)
class Fit:
    r"""A theory fitted to targets; result of ``fit``.

    Attributes
    ----------
    theory : Theory
        The fitted theory: the state of lowest loss of the best start.
    targets : tuple of TargetQuality
        Quality of each target.
    loss : float
        Half the sum of squared residuals, :math:`L = \frac12 |r|^2`.
    chi_squared, degrees_of_freedom, p_value : float or None
        Values of all measured targets together; None without measured targets, and the p-value also without degrees of
        freedom. They are statements about a minimum of the loss: after early stopping chi^2 is larger.
    free : tuple of str
        Names of the free parameters.
    parameters : ndarray
        Free parameters of the fitted theory, shape (P,): rates and strengths as logarithms.
    covariance : ndarray or None
        Covariance of ``parameters``, shape (P, P), by the errors of the measured targets (statistical only):
        :math:`(J^T C^{-1} J)^+` on the directions that the data determine, and zero in others. None without measured
        targets, and with more than 1000 parameters.
    trajectory : Trajectory
        States of the best start at increasing steps, thinned to a ratio of 1.15, with the first and the last one.
    method : str
    rate : float or None
        Rate of gradient descent or of Adam.
    steps : int
        Steps of the best start.
    starts : tuple of float
        Lowest loss of each start: the given theory first, then the restarts; last those
        without finite values, as infinity.
    converged : bool
        Whether a criterion of convergence ended the best start, not the number of steps.
    reason : str
        End of the best start.
    notes : tuple of str
        Remarks: resolved misfits, numerical errors, failed starts.
    """

    theory: Theory
    targets: tuple[TargetQuality, ...]
    loss: float
    chi_squared: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    free: tuple[str, ...]
    parameters: Floats = field(repr=False)
    covariance: Floats | None = field(repr=False)
    trajectory: Trajectory = field(repr=False)
    method: str
    rate: float | None
    steps: int
    starts: tuple[float, ...]
    converged: bool
    reason: str
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The fitted theory and the quality of each target in a notebook."""
        facts: dict[str, Any] = {
            "theory": self.theory,
            "free": ", ".join(self.free),
            "method": f"{self.method}, {self.steps} steps, {len(self.starts)} start{'s' * (len(self.starts) > 1)}",
            "loss": self.loss,
            "end": f"{'converged' if self.converged else 'not converged'}: {self.reason}",
        }
        if self.chi_squared is not None:
            p = "" if self.p_value is None else f", p = {self.p_value:.2g}"
            facts["chi^2"] = f"{self.chi_squared:.4g}/{self.degrees_of_freedom:.3g}{p}"
        headings = ("target", "values", "quality", "largest deviation")
        return card("Fit", facts, headings=headings, rows=[q.cells for q in self.targets], notes=self.notes)

    def __str__(self) -> str:
        head = f"{self.method}, {self.steps} steps, loss {self.loss:.4g}"
        head += f" (best of {len(self.starts)} starts)" if len(self.starts) > 1 else ""
        table = [("target", "values", "quality", "largest deviation"), *(q.cells for q in self.targets)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        rows = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
        if self.chi_squared is not None and len(self.targets) > 1:
            p = "" if self.p_value is None else f", p = {self.p_value:.2g}"
            rows.append(f"all measured targets: chi^2 {self.chi_squared:.4g}/{self.degrees_of_freedom:.3g}{p}")
        state = "converged" if self.converged else "not converged"
        return "\n".join([head, *rows, f"{state}: {self.reason}", *self.notes])


class FitError(InputError):
    """A fit that cannot go on: a rate that is too large, or a theory that has no values.

    Attributes
    ----------
    partial : Fit or None
        The best state and the trajectory up to there; None if there was no step.
    """

    def __init__(self, message: str, partial: Fit | None) -> None:
        super().__init__(message)
        self.partial = partial


class FitInterrupted(OneLine, KeyboardInterrupt):
    """A fit stopped by Ctrl-C.

    Attributes
    ----------
    partial : Fit or None
        The best state and the trajectory up to there; None if there was no step.
    """

    def __init__(self, partial: Fit | None) -> None:
        held = 0 if partial is None else partial.steps
        super().__init__(f"interrupted; the partial result is the best one of {held} steps")
        self.partial = partial


@one_blas_thread
def fit(
    theory: Theory,
    targets: Target | Sequence[Target],
    *,
    free: str | Sequence[str] = ("network",),
    method: str = "least-squares",
    rng: Rng = None,
    **settings: Unpack[FitSettings],
) -> Fit:
    r"""Fit the parameters of a theory to targets, by exact gradients.

    .. math:: L(w) = \frac12 \sum_i (O_i(w) - o_i)^T C_i^{-1} (O_i(w) - o_i)

    The observables O are exact functions of the parameters w. The result is a local minimum; ``restarts`` look for
    others.

    Parameters
    ----------
    theory : Theory
        The start, with fixed weights.
    targets : Target or sequence of Target
        Measured or exact values of observables.
    free : str or sequence of str, default "network"
        Free parameters: "network" (weights and biases), "omega" and "sigma" of Ornstein-Uhlenbeck inputs,
        "potential" of ground-state processes, "state" of a ground-state network; those that the theory has.
    method : {"least-squares", "l-bfgs", "adam", "gradient-descent"}
        SciPy's trust-region least squares or L-BFGS; Adam (Kingma and Ba, arXiv:1412.6980); or gradient descent with a
        constant rate, :math:`w' = -\alpha\, dL/dw`.
    rng : int, SeedSequence, Generator or None
        Source of the restarts, by NumPy's conventions. The same seed gives the same fit.
    **settings : FitSettings
        steps, rate, restarts, loss_tolerance, gradient_tolerance, patience, progress, executor.

    Returns
    -------
    Fit

    Raises
    ------
    InputError, InputTypeError
        Before any work starts if an argument is not valid, the theory has no values at the times of a target, or no
        theory of its kind can have the targets; the message names the inequality that fails.
    FitError
        If the fit diverges or all starts fail, with the state so far in its ``partial``.
    FitInterrupted
        On Ctrl-C, with the state so far in its ``partial``.

    Examples
    --------
    >>> from nnqm.learning import SpectralWeights
    >>> start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 4, 1), rng=1, bias_std=0.5))
    >>> target = nnqm.Target(SpectralWeights(4), [0.5, 0.25, 0.15, 0.1], tolerance=1e-6)
    >>> found = nnqm.fit(start, target, restarts=3, rng=1)
    >>> found.converged, bool(found.targets[0].residual < 1e-6)
    (True, True)
    """
    need_known(fit, settings, FitSettings)
    listed, names = _checked(theory, targets, free)
    choice("method", method, METHODS)
    steps = integer("steps", settings.get("steps", STEPS[method]), 1)
    rate = settings.get("rate")
    if rate is not None:
        if method not in ("adam", "gradient-descent"):
            raise InputError(f"rate belongs to adam and gradient-descent; got method {method!r}; leave it out")
        rate = positive("rate", rate)
    tolerances = [
        None if (given := settings.get(name)) is None else positive(name, given)
        for name in ("loss_tolerance", "gradient_tolerance")
    ]
    measured = any(t.covariance is not None for t in listed)
    patience = settings.get("patience", PATIENCE.get(method) if measured else None)
    patience = None if patience is None else integer("patience", patience, 1)
    starts = 1 + integer("restarts", settings.get("restarts", 0), 0, 10_000)
    crew = crew_of(settings.get("executor"))
    check_targets(theory, listed, names)
    problem = Problem(theory, listed, names)
    first = problem.at(problem.free.start)
    if not np.isfinite(first.loss):
        raise InputError(f"the loss of the given theory must be finite; got {first.loss:g}; start elsewhere")
    if rate is None:
        rate = {"gradient-descent": lambda: default_rate(first), "adam": lambda: ADAM_RATE}.get(method, lambda: None)()
    run = _Run(problem, method, rate)
    generator = generator_of(rng)
    vectors = chain([first.vector], (_redrawn(theory, names, generator) for _ in range(starts - 1)))
    bar = ProgressBar("fit", "steps/s", settings.get("progress"))
    watching = _Watching(
        steps=steps,
        loss_tolerance=tolerances[0],
        gradient_tolerance=tolerances[1],
        patience=patience,
        measured=measured,
    )
    try:
        with bar as progress:
            if crew is None:
                for vector in vectors:
                    run.start(vector, watching, progress, starts * steps)
                    if run.complete:
                        break
            else:
                run.on_workers(crew, list(vectors), watching, progress)
    except KeyboardInterrupt:
        raise FitInterrupted(run.result() if run.watches else None) from None
    if len(run.faults) == starts:
        raise FitError(run.faults[0], run.result())
    return run.result()


def _checked(
    theory: Theory, targets: Target | Sequence[Target], free: str | Sequence[str]
) -> tuple[tuple[Target, ...], tuple[str, ...]]:
    """Targets and names of free parameters, checked."""
    if not isinstance(theory, Theory):
        raise InputTypeError(f"theory must be a Theory; got {theory!r}")
    if theory.network is not None:
        fixed_network(theory)
    listed = (targets,) if isinstance(targets, Target) else tuple(targets)
    for i, target in enumerate(listed):
        if not isinstance(target, Target):
            raise InputTypeError(f"targets[{i}] must be a Target; got {target!r}; Target(observable, values) makes one")
    if not listed:
        raise InputError("targets must have at least one entry; got none")
    names = (free,) if isinstance(free, str) else tuple(dict.fromkeys(free))
    FreeParameters(theory, names)
    return listed, names


class _Watching(Ends):
    """How each start is watched."""

    steps: int
    measured: bool


class _Run:
    """All starts of a fit, and the result so far."""

    def __init__(self, problem: Problem, method: str, rate: float | None) -> None:
        self.problem, self.method, self.rate = problem, method, rate
        self.watches: list[Watch] = []
        self.ends: list[tuple[str, bool]] = []
        self.faults: list[str] = []
        self.skipped = 0

    def start(self, vector: Floats, watching: _Watching, progress: Progress | None, wanted: int) -> None:
        """Minimise from a vector of parameters."""
        point = self.problem.trial(vector)
        if point is None:
            self.skipped += 1
            self.faults.append("a random start has no values")
            return
        watch = Watch(point, **watching, progress=progress, done=self.steps, wanted=wanted)
        self.watches.append(watch)
        self.ends.append(("interrupted", False))
        try:
            watch.judge(point)
            METHODS[self.method](self.problem, point, watch, self.rate)
        except Stopped as end:
            self.ends[-1] = (end.reason, end.converged)
        except FAILURES as fault:
            self.ends[-1] = (str(fault), False)
            self.faults.append(str(fault))

    def on_workers(self, crew: Crew, vectors: Sequence[Floats], watching: _Watching, progress: Progress) -> None:
        """Minimise from several vectors on workers, with the result of one start after the other."""
        found: dict[int, _Run] = {}
        taken, steps = 0, 0
        rest = (self.problem, self.method, self.rate, watching)
        ended = crew.as_completed(_one_start, [(vector, *rest) for vector in vectors])
        try:
            for i, part in ended:
                found[i] = part
                steps += part.steps
                progress(steps, len(vectors) * watching["steps"])
                while taken in found and not self.complete:
                    self._add(found.pop(taken))
                    taken += 1
                if self.complete:
                    return
        except KeyboardInterrupt:
            for i in sorted(found):
                self._add(found[i])
            raise
        finally:
            ended.close()

    def _add(self, other: _Run) -> None:
        self.watches += other.watches
        self.ends += other.ends
        self.faults += other.faults
        self.skipped += other.skipped

    @property
    def complete(self) -> bool:
        """Whether a start has reached all targets."""
        return bool(self.watches) and self.best.within_tolerance

    @property
    def steps(self) -> int:
        """Steps of all starts."""
        return sum(w.step for w in self.watches)

    @property
    def _which(self) -> int:
        return int(np.argmin([w.lowest.loss for w in self.watches]))

    @property
    def best(self) -> Point:
        """The state of lowest loss of all starts."""
        return self.watches[self._which].lowest

    def result(self) -> Fit:
        """The fit up to now."""
        point, watch, (reason, converged) = self.best, self.watches[self._which], self.ends[self._which]
        targets, free = self.problem.targets, self.problem.free
        measured = any(t.covariance is not None for t in targets)
        quality = judge(targets, point.values, point.errors, point.residual, point.jacobian if measured else None)
        kept = watch.trajectory
        return Fit(
            theory=point.theory,
            targets=quality.targets,
            loss=point.loss,
            chi_squared=quality.chi_squared,
            degrees_of_freedom=quality.degrees_of_freedom,
            p_value=quality.p_value,
            free=self.problem.names,
            parameters=point.vector,
            covariance=quality.covariance,
            trajectory=Trajectory([k[0] for k in kept], [free.theory(k[1]) for k in kept], [k[2] for k in kept]),
            method=self.method,
            rate=self.rate,
            steps=watch.step,
            starts=(*(w.lowest.loss for w in self.watches), *[np.inf] * self.skipped),
            converged=converged,
            reason=reason,
            notes=tuple(self._notes(quality.targets, point.theory)),
        )

    def _notes(self, rows: Sequence[TargetQuality], theory: Theory) -> Iterator[str]:
        misfits = [row for row in rows if row.p_value is not None and not row.describes]
        if misfits:
            labels = ", ".join(f"{row.target.label} (p = {row.p_value:.1g})" for row in misfits)
            beyond = any(_beyond(theory, row.target) for row in rows)
            yield (
                f"resolved misfit: {labels}; the targets lie outside of what this theory reaches, or the fit is not at "
                f"its lowest minimum: compare restarts{_BEYOND if beyond else ''}"
            )
        for row in rows:
            least = nearest_on_lattice(theory, row.target, self.problem.names)
            if least is not None and least > row.target.size and not row.describes:
                yield (
                    f"levels of {row.target.label} are off the lattice of sums of the frequencies "
                    f"{', '.join(f'{w:g}' for w in theory.omega)}: no network on these inputs comes nearer than a sum "
                    f"of squared residuals of {least:.3g} for {row.target.size} values; free 'omega'"
                )
            errors = row.target.errors if row.target.errors is not None else row.target.tolerance
            numerical = row.numerical_error * float(np.abs(row.fitted).max())
            if errors is not None and numerical > _NOTED * float(errors.min()):
                yield (
                    f"the numerical error of {row.target.label}, {numerical:.1g}, is not small against the smallest "
                    f"error or tolerance of its values, {errors.min():.1g}"
                )
        if self.faults:
            yield f"{len(self.faults)} starts failed; the first one: {self.faults[0]}"


def _one_start(vector: Floats, problem: Problem, method: str, rate: float | None, watching: _Watching) -> _Run:
    """A fit with one start. Workers may be threads, and share no problem, which keeps its last points."""
    run = _Run(copy(problem), method, rate)
    run.start(vector, watching, None, watching["steps"])
    return run


# Fact on theories with Ornstein-Uhlenbeck inputs.
_BEYOND = (
    "; networks on Ornstein-Uhlenbeck inputs fit two-point functions, but not together with the n-point functions of "
    "an anharmonic Hamiltonian, which a GroundStateProcess with a free potential or a GroundStateNetwork has"
)


def _beyond(theory: Theory, target: Target) -> bool:
    """Whether a target goes beyond two-point functions and the inputs are oscillators."""
    observable = target.observable
    return isinstance(observable, NPoint) and observable.times.shape[1] > 2 and theory.all_oscillators


def _redrawn(theory: Theory, names: Sequence[str], generator: np.random.Generator) -> Floats:
    """A vector of free parameters with new random weights and biases, and other parameters shaken."""
    parts = []
    for name in names:
        values = learnable(theory)[name]
        if name == "network":
            assert isinstance(theory.network, Network)
            parts.append(_new_weights(theory, theory.network, generator))
        elif name in POSITIVE:
            parts.append(np.log(values) + _JITTER * generator.normal(size=values.size))
        else:
            spread = _JITTER * float(np.sqrt(np.mean(values**2)))
            parts.append(values + spread * generator.normal(size=values.size))
    return np.concatenate(parts)


def _new_weights(theory: Theory, network: Network, generator: np.random.Generator) -> Floats:
    """Weights and biases of a network of the same layers, for inputs in units of their standard deviations."""
    drawn = Network.random(network.widths, rng=generator, weight_std=_WEIGHTS, bias_std=_BIASES)
    spreads = np.sqrt(np.concatenate([s.variance for s in theory.sources]))
    first, *others = drawn.weights
    return Network([first / spreads, *others], drawn.biases, network.activations).parameters
