"""Minimisation of a sum of squares: gradient descent, Adam, and SciPy's L-BFGS and least squares."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypedDict, Unpack

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..progress import Progress
from ..theories.theory import Theory
from .differentiate import Differentiated, differentiate
from .parameters import FreeParameters, Gradient
from .targets import Target

__all__: list[str] = []

# Seconds between two calls of a progress function.
_PROGRESS = 0.2

# Ratio of successive steps of which a trajectory keeps the state.
_THINNING = 1.15

# Growth of the loss, relative to the start, that counts as divergence.
_DIVERGED = 1e4

# Deviations, relative to the size of the targets, below which a growing loss is rounding.
_ROUNDING = 1e-10

# Relative fall of the loss that counts as progress, and the fall of chi^2 that counts where there are errors.
_FALL, _FALL_OF_CHI_SQUARED = 1e-6, 1e-2

# Relative tolerances of SciPy's least squares on the loss and the step, and its smallest one on the gradient.
_LOSS_TOLERANCE, _STEP_TOLERANCE, _EPSILON = 1e-10, 1e-12, 4e-16

# Tolerances of L-BFGS on the loss and the gradient, both relative to the loss of the start, and its stored steps.
_LBFGS_LOSS, _LBFGS_GRADIENT, _LBFGS_MEMORY = 1e-15, 1e-12, 20

# Loss of a trial without a value, relative to the start: large, but in the range of interpolations.
_NO_VALUE = 1e20

# Decay rates of the two moments of Adam, and its smallest denominator (Kingma and Ba, arXiv:1412.6980).
_ADAM = (0.9, 0.999, 1e-8)


class Failed(Exception):
    """A minimisation that cannot go on, with the reason."""


# Errors after which a minimisation cannot go on from a state.
FAILURES = (Failed, InputError, np.linalg.LinAlgError)


class Point:
    """The loss at a vector of free parameters, with gradient and Jacobian on demand."""

    def __init__(self, problem: Problem, vector: Floats) -> None:
        self._problem = problem
        self.vector = vector.copy()
        self.theory: Theory = problem.free.theory(self.vector)
        found: Differentiated = differentiate(self.theory, problem.observables)
        self.values = found.values
        self._found = found
        whites = (t.white @ (v - t.values) for t, v in zip(problem.targets, self.values, strict=True))
        with np.errstate(over="ignore", invalid="ignore"):
            self.residual: Floats = np.concatenate(list(whites))
            self.loss = float(self.residual @ self.residual) / 2

    def __reduce__(self) -> tuple[Any, ...]:
        # Functions that pull gradients back cannot be pickled; the point is made again from its vector.
        return (Problem.at, (self._problem, self.vector))

    @property
    def errors(self) -> list[float]:
        """Numerical error of each observable, relative to its largest value."""
        return self._found.errors

    @property
    def within_tolerance(self) -> bool:
        """Whether all targets are exact numbers with a tolerance, and all deviations are below it."""
        return self._problem.complete and bool(np.all(np.abs(self.residual) <= 1))

    def _pull(self, cotangents: list[Floats]) -> Floats:
        by_name: Gradient = self._found.pullback(cotangents, self._problem.names)
        return self._problem.free.gradient(self.vector, by_name)

    @cached_property
    def gradient(self) -> Floats:
        """Derivatives of the loss, shape (P,)."""
        targets = self._problem.targets
        parts = np.split(self.residual, np.cumsum([t.size for t in targets])[:-1])
        return self._pull([t.white.T @ r for t, r in zip(targets, parts, strict=True)])

    @cached_property
    def jacobian(self) -> Floats:
        """Derivatives of the residuals, shape (K, P)."""
        problem = self._problem
        rows = problem.free.gradient(self.vector, self._found.jacobian(problem.names))
        parts = np.split(rows, np.cumsum([t.size for t in problem.targets])[:-1])
        return np.concatenate([t.white @ part for t, part in zip(problem.targets, parts, strict=True)])

    @property
    def curvature(self) -> float:
        """Largest eigenvalue of the Gauss-Newton matrix J^T J."""
        return float(np.linalg.norm(self.jacobian, 2)) ** 2


class Problem:
    """Half the sum of squared residuals of targets, as a function of the free parameters of a theory."""

    def __init__(self, theory: Theory, targets: Sequence[Target], names: Sequence[str]) -> None:
        self.targets, self.names = tuple(targets), tuple(names)
        self._theory = theory
        self.free = FreeParameters(theory, names)
        self.observables = tuple(t.observable for t in targets)
        self._last: list[Point] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (Problem, (self._theory, self.targets, self.names))

    @cached_property
    def floor(self) -> float:
        """Loss of deviations by rounding."""
        return 0.5 * sum(float(np.sum((t.white @ (_ROUNDING * t.values)) ** 2)) for t in self.targets)

    @cached_property
    def complete(self) -> bool:
        """Whether all targets are exact numbers with a tolerance, so that a fit can be complete."""
        return all(t.tolerance is not None for t in self.targets)

    def at(self, vector: Floats) -> Point:
        """The point at a vector; the last ones are kept."""
        for point in self._last:
            if np.array_equal(point.vector, vector):
                return point
        point = Point(self, vector)
        self._last = [point, *self._last[:1]]
        return point

    def trial(self, vector: Floats) -> Point | None:
        """The point at a vector; None where the theory has no finite values to the accuracy needed."""
        if not np.all(np.isfinite(vector)):
            return None
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                point = self.at(vector)
        except FAILURES:
            return None
        return point if np.isfinite(point.loss) else None


class Stopped(Exception):
    """The end of a minimisation, with its reason."""

    def __init__(self, reason: str, converged: bool) -> None:
        super().__init__(reason)
        self.reason, self.converged = reason, converged


class Ends(TypedDict):
    """Reasons to end a minimisation before the last step; see ``FitSettings``."""

    loss_tolerance: float | None
    gradient_tolerance: float | None
    patience: int | None


class Watch:
    """Follows a minimisation: best state, thinned trajectory, progress, and reasons to stop.

    ``measured`` says whether there are targets with errors, ``done`` is the number of steps of earlier starts, and
    ``wanted`` the largest number of all starts.
    """

    def __init__(
        self,
        point: Point,
        *,
        steps: int,
        progress: Progress | None,
        measured: bool,
        done: int,
        wanted: int,
        **ends: Unpack[Ends],
    ) -> None:
        self.steps, self._progress, self._measured, self._ends = steps, progress, measured, ends
        self._done, self._wanted = done, wanted
        self.step = 0
        self.lowest = point
        self._last = (0, point.vector, point.loss)
        self._kept, self._next = [self._last], 1
        self._told, self._mark = 0.0, (0, point.loss)

    def take(self, point: Point) -> None:
        """A state after one more step; raises Stopped where there is a reason."""
        self.step += 1
        self._last = (self.step, point.vector, point.loss)
        if point.loss <= self.lowest.loss:
            self.lowest = point
        if self.step >= self._next:
            self._kept.append(self._last)
            self._next = max(self.step + 1, int(np.ceil(self.step * _THINNING)))
        least = max(_FALL * self._mark[1], _FALL_OF_CHI_SQUARED / 2 if self._measured else 0.0)
        if point.loss < self._mark[1] - least:
            self._mark = (self.step, point.loss)
        now = time.monotonic()
        if self._progress is not None and now - self._told > _PROGRESS:
            self._told = now
            self._progress(self._done + self.step, self._wanted)
        self.judge(point)

    @property
    def trajectory(self) -> list[tuple[int, Floats, float]]:
        """Steps, vectors and losses that are kept, with the last state."""
        return self._kept if self._kept[-1][0] == self._last[0] else [*self._kept, self._last]

    def judge(self, point: Point) -> None:
        """Raise Stopped if a state is an end."""
        loss, slope, patience = (self._ends[name] for name in ("loss_tolerance", "gradient_tolerance", "patience"))
        if loss is not None and point.loss <= loss:
            raise Stopped(f"the loss is at most {loss:g}", True)
        if point.within_tolerance:
            raise Stopped("all deviations are within the tolerance", True)
        if slope is not None and np.abs(point.gradient).max() <= slope:
            raise Stopped(f"no derivative of the loss exceeds {slope:g}", True)
        if patience is not None and self.step - self._mark[0] >= patience:
            fall = f"{_FALL:g} of its value"
            least = (
                f"chi^2 fell by less than {_FALL_OF_CHI_SQUARED:g}"
                if self._measured
                else f"the loss fell by less than {fall}"
            )
            raise Stopped(f"{least} in {patience} steps", True)
        if self.step >= self.steps:
            raise Stopped(f"{self.steps} steps are done", False)


Minimiser = Callable[[Problem, Point, Watch, float | None], None]


def gradient_descent(problem: Problem, point: Point, watch: Watch, rate: float | None) -> None:
    r"""Gradient descent with a constant rate, :math:`w' = -\alpha\, dL/dw`."""
    alpha = default_rate(point) if rate is None else rate
    _follow(problem, point, watch, lambda p: p.vector - alpha * p.gradient, alpha)


def adam(problem: Problem, point: Point, watch: Watch, rate: float | None) -> None:
    """Adam with its usual constants (Kingma and Ba, arXiv:1412.6980, algorithm 1)."""
    alpha, (b1, b2, tiny) = ADAM_RATE if rate is None else rate, _ADAM
    first, second, n = np.zeros_like(point.vector), np.zeros_like(point.vector), 0

    def step(p: Point) -> Floats:
        nonlocal first, second, n
        n += 1
        first = b1 * first + (1 - b1) * p.gradient
        second = b2 * second + (1 - b2) * p.gradient**2
        return np.asarray(p.vector - alpha * (first / (1 - b1**n)) / (np.sqrt(second / (1 - b2**n)) + tiny))

    _follow(problem, point, watch, step, None)


# Rate of Adam if none is given.
ADAM_RATE = 1e-2


def default_rate(point: Point) -> float:
    """A tenth of the largest stable rate of gradient descent at a point: the curvature may grow along the way."""
    curvature = point.curvature
    return 0.2 / curvature if curvature > 0 else 1.0


def _follow(problem: Problem, point: Point, watch: Watch, step: Callable[[Point], Floats], rate: float | None) -> None:
    """Repeat a rule of steps; raise Failed if the loss explodes or has no value."""
    limit = _DIVERGED * max(point.loss, problem.floor)
    while True:
        fault = ""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                point = problem.at(step(point))
            if not point.loss <= limit:
                fault = f"the loss is {point.loss:.3g}"
        except FAILURES as error:
            fault = str(error)
        if fault:
            text = f"step {watch.step + 1} has diverged: {fault}"
            if rate is not None:
                stable = 2 / watch.lowest.curvature
                text += (
                    f"; the largest stable rate is about {stable:.3g}, 2/lambda with lambda the largest eigenvalue of "
                    f"J^T J (Gauss and Newton) at the best state; got rate={rate:g}"
                )
                text += (
                    "; use a smaller one" if rate > stable else "; lambda grows along the way: divide the rate by 10"
                )
            raise Failed(text)
        watch.take(point)


def least_squares(problem: Problem, point: Point, watch: Watch, rate: float | None) -> None:
    """SciPy's trust-region least squares with exact Jacobians (Branch, Coleman and Li 1999)."""
    from scipy.optimize import least_squares as solve

    failed = np.full(point.residual.shape, np.inf)

    def residual(vector: Floats) -> Floats:
        found = problem.trial(vector)
        return failed if found is None else found.residual

    def jacobian(vector: Floats) -> Floats:
        # SciPy asks for the Jacobian at the start and after each accepted step.
        found = problem.at(vector)
        if found is not point:
            watch.take(found)
        if not np.all(np.isfinite(found.jacobian)):
            raise Failed(f"the derivatives after step {watch.step} are not finite")
        return found.jacobian

    slope = float(np.abs(point.gradient).max())
    found = solve(
        residual,
        point.vector,
        jacobian,
        ftol=_LOSS_TOLERANCE,
        xtol=_STEP_TOLERANCE,
        gtol=max(_EPSILON, _EPSILON * slope),
        max_nfev=20 * watch.steps + 100,
    )
    raise Stopped(*_ENDS_OF_LEAST_SQUARES.get(found.status, (found.message, False)))


_ENDS_OF_LEAST_SQUARES = {
    1: ("the gradient vanishes to rounding", True),
    2: (f"the loss changes by less than {_LOSS_TOLERANCE:g} of its value", True),
    3: (f"the parameters change by less than {_STEP_TOLERANCE:g} of their size", True),
    4: (f"loss and parameters change by less than {_LOSS_TOLERANCE:g} and {_STEP_TOLERANCE:g}", True),
}


def l_bfgs(problem: Problem, point: Point, watch: Watch, rate: float | None) -> None:
    """SciPy's L-BFGS (Byrd, Lu, Nocedal and Zhu 1995), of the loss in units of its start."""
    from scipy.optimize import minimize

    unit = max(point.loss, np.finfo(float).tiny)

    def function(vector: Floats) -> tuple[float, Floats]:
        found = problem.trial(vector)
        if found is None:
            return _NO_VALUE, np.zeros_like(vector)
        return found.loss / unit, found.gradient / unit

    options = {
        "maxiter": watch.steps + 1,
        "maxfun": 20 * watch.steps + 100,
        "maxcor": _LBFGS_MEMORY,
        "ftol": _LBFGS_LOSS,
        "gtol": _LBFGS_GRADIENT,
    }
    found = minimize(
        function,
        point.vector,
        jac=True,
        method="L-BFGS-B",
        callback=lambda vector: watch.take(problem.at(vector)),
        options=options,
    )
    ends = {
        0: ("loss or gradient change no more, relative to the start", True),
        2: ("the line search finds no lower loss", False),
    }
    raise Stopped(*ends.get(found.status, (str(found.message), False)))


METHODS: dict[str, Minimiser] = {
    "least-squares": least_squares,
    "l-bfgs": l_bfgs,
    "adam": adam,
    "gradient-descent": gradient_descent,
}

# Steps after which a fit to measured targets ends that makes no progress, by default.
PATIENCE = {"least-squares": 20, "l-bfgs": 100}

# Largest number of steps by default.
STEPS = {"least-squares": 1000, "l-bfgs": 3000, "adam": 5000, "gradient-descent": 5000}
