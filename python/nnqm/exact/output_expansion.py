r"""Gaussian averages of functions of a few variables, and their expansion in Hermite functions.

Points z are in standard deviations of the inputs. For one input, Gauss-Legendre panels are split at the kinks of the
function and halved until the function is a polynomial on each panel. For two and three inputs the trapezoid rule is
used, which converges geometrically for functions that are analytic around the real line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from .._arguments import Floats
from ..errors import InputError
from ..statistics.rules import legendre_analysis, legendre_rule
from ..theories.networks import Network, RandomNetwork
from ..theories.state_modes import density, hermite_functions, trapezoid
from ..theories.theory import Theory
from .inputs import need_units
from .resolution import Hidden, hidden_by_grid, largest_output

__all__ = ["Expansion", "Moments", "Panels", "adapt", "expand"]

# Values (..., M) of M functions at points (..., D).
Function = Callable[[Floats], Floats]

# Highest polynomials for one input, tried in turn. With kinks, weights fall as n^(-5/2); with saturated neurons they
# first fall as n^(-3/2).
_ORDERS = (200, 1000, 4000, 16000)
# Fraction of the variance in higher states that is accepted, below the order ``_MANY`` and from it on.
_LIGHT, _MANY, _LIGHT_ENOUGH = 1e-12, 4000, 1e-6
# Half-width, nodes per input and highest polynomial per input of trapezoid rules, tried in turn, by number of inputs.
RULES_OF_INPUTS = {
    1: ((12.0, 320, 200),),
    2: ((11.0, 176, 80), (11.5, 320, 160), (11.5, 600, 240)),
    3: ((10.5, 100, 48), (11.0, 144, 72)),
}
# Largest output, and the distance at which it is sought, in standard deviations of the inputs.
_LARGEST_OUTPUT, _FAR = 1e70, 10.0
# Factor of the tolerance by which an error of unresolved neurons is beyond the gain of a finer rule.
_HOPELESS = 10.0
# Smallest relative error of a result: the rounding of the whole calculation.
ROUNDING = 1e-13
# Relative spread of values below which a function is constant.
_CONSTANT = 1e-13
# Half-width of the panels: the Hermite functions h_n(z) phi(z)^(1/2) are bounded, and phi(14)^(1/2) is 3e-22.
_WIDTH = 14.0
# Number of nodes of a panel: for the test of its resolution and the coarser rule of error estimates; for the result.
_COARSE, _FINE = 16, 24
RULES = (_FINE, _COARSE)
# Fraction of the largest value below which the last Legendre coefficients of a resolved panel lie.
_RESOLVED = 1e-13
# Fraction of the largest Legendre coefficient of a panel below which coefficients are rounding errors.
_NOISE = 4e-16
# Width below which a panel is not halved further: it contains an unlisted kink or jump.
_NARROWEST = 1e-9
# Largest number of nodes times polynomials: five seconds.
_MOST_PRODUCTS = 400_000_000
# Largest number of panels.
_MOST_PANELS = 40_000
# Number of points at which signs of pre-activations are compared, and largest number of zeros per smooth layer.
_GRID, _MOST_ZEROS = 2049, 5000
# Distances of further probes from zeros, and largest number of zeros that have them.
_DISTANCES, _MOST_SURROUNDED = 4.0 ** -np.arange(1.0, 18.0), 300
# Activations whose derivative jumps at zero.
KINKED = frozenset({"relu"})


@lru_cache
def _rule(n: int) -> tuple[Floats, ...]:
    """Gauss-Legendre nodes and weights; matrices from values to Legendre coefficients and from these to derivatives."""
    x, w = legendre_rule(n)
    derivatives = [np.stack([legendre.legval(x, legendre.legder(row, k)) for row in np.eye(n)], axis=1) for k in (1, 2)]
    return x, w, legendre_analysis(n), *(np.asarray(d, dtype=np.float64) for d in derivatives)


def zeros_of_layers(network: Network, spread: float) -> tuple[Floats, Floats]:
    """Points z of one input at which arguments of activations vanish: of kinked activations, and of smooth ones.

    A network of relu layers is linear between its kinks, so that all kinks are found. Behind smooth layers, zeros
    are sought on a grid of 1/70 of a standard deviation and around zeros of earlier layers. Saturated neurons vary
    rapidly at zeros of smooth activations: points on every scale around them are added.
    """
    grid = np.linspace(-_WIDTH, _WIDTH, _GRID)
    kinks, smooth = np.empty(0), np.empty(0)
    for i, name in enumerate(network.activations):
        if name == "identity":
            continue
        before = Network(network.weights[: i + 1], network.biases[: i + 1], [*network.activations[:i], "identity"])
        points = np.union1d(grid, np.concatenate([kinks, _around(smooth)]))
        points = np.union1d(points, (points[1:] + points[:-1]) / 2) if smooth.size else points
        value = np.sign(before((points * spread)[:, None]))
        touch = value == 0
        # An interval of zeros lies between kinks of earlier layers: only its ends count.
        touch[1:-1] &= (value[:-2] != 0) | (value[2:] != 0)
        cell, neuron = np.nonzero(value[:-1] * value[1:] < 0)
        if cell.size > _MOST_ZEROS and name not in KINKED:
            continue
        low, high, sign = points[cell], points[cell + 1], value[cell, neuron]
        for _ in range(60):
            middle = (low + high) / 2
            left = np.sign(before((middle * spread)[:, None])[np.arange(cell.size), neuron]) == sign
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        found = np.concatenate([(low + high) / 2, points[touch.any(axis=1)]])
        if name in KINKED:
            kinks = np.union1d(kinks, found)
        else:
            smooth = np.union1d(smooth, found)
    return kinks, _around(smooth)


def _around(zeros: Floats) -> Floats:
    """Zeros, and points beside them at distances of every scale, at which functions that vanish at zeros are seen."""
    if not 0 < zeros.size <= _MOST_SURROUNDED:
        return zeros
    return np.unique(np.concatenate([zeros, *np.add.outer(_DISTANCES, zeros), *np.add.outer(-_DISTANCES, zeros)]))


@dataclass(frozen=True)
class Panels:
    """Intervals on which a function is a polynomial to rounding.

    Attributes
    ----------
    edges : ndarray
        Ascending, shape (P + 1,).
    kinks : ndarray
        Edges at which the derivative of the function may jump, shape (K,).
    resolved : bool
        False if the function is not smooth on a panel of width 1e-9, which contains an unlisted kink or jump.
    """

    edges: Floats
    kinks: Floats
    resolved: bool

    def split(self, widest: float) -> Panels:
        """The same panels; those wider than ``widest`` are cut into equal parts."""
        return replace(self, edges=_split(self.edges, widest))

    def nodes(self, n: int, widest: float = np.inf) -> tuple[Floats, Floats]:
        """Points z and weights, density included, of n Gauss-Legendre nodes per panel of at most a given width."""
        edges = self.split(widest).edges
        x, w, *_ = _rule(n)
        half = np.diff(edges)[:, None] / 2
        z = edges[:-1, None] + half * (1 + x)
        return z.ravel(), (half * w * density(z)).ravel()


def _split(edges: Floats, widest: float) -> Floats:
    pieces = np.maximum(np.ceil(np.diff(edges) / widest), 1).astype(int)
    start = np.repeat(edges[:-1], pieces)
    within = np.arange(pieces.sum()) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return np.append(start + within * np.repeat(np.diff(edges) / pieces, pieces), edges[-1])


def adapt(function: Function, kinks: Floats, probes: Floats) -> Panels:
    """Panels on which functions of one variable are smooth.

    Parameters
    ----------
    function : callable
        Values, shape (..., M), at points of shape (..., 1).
    kinks : ndarray
        Points at which derivatives jump, shape (K,).
    probes : ndarray
        Points near which there may be features narrower than the distance of the nodes, shape (L,).

    Returns
    -------
    Panels

    Raises
    ------
    InputError
        If the function needs more than 40,000 panels.
    """
    inside = np.unique(kinks[np.abs(kinks) < _WIDTH])
    # A kink that several neurons share appears several times, apart by rounding.
    inside = inside[np.concatenate([[True], np.diff(inside) > 1e-12])] if inside.size else inside
    edges = _split(np.concatenate([[-_WIDTH], inside, [_WIDTH]]), 1.0)
    left, right = edges[:-1], edges[1:]
    probes = np.sort(np.concatenate([probes, (probes[1:] + probes[:-1]) / 2]))
    x, _, analysis, *_ = _rule(_COARSE)
    done: list[Floats] = []
    tolerance = np.zeros(1)
    resolved = True
    while left.size:
        z = left[:, None] + (right - left)[:, None] / 2 * (1 + x)
        values = function(z[..., None])
        if not done:
            # The rounding of a typical panel; steep panels have more.
            tolerance = np.median(_noise(function, z), axis=0)
        # The largest value grows when narrow features are first resolved.
        tolerance = np.maximum(
            tolerance, _RESOLVED * (np.abs(values) * np.sqrt(density(z))[..., None]).max(axis=(0, 1))
        )
        coefficients = np.einsum("kn,pnm->pkm", analysis, values)
        # Root of the density at its maximum on the panel; the Hermite functions contain the other root.
        weight = np.sqrt(density(np.clip(0.0, left, right)))
        rest = np.abs(coefficients[:, -3:]).max(axis=1)
        if probes.size:
            rest = np.maximum(rest, _missed(function, probes, left, right, coefficients))
        bad = (rest * weight[:, None] > tolerance).any(axis=1)
        # On a steep panel the remainder may be rounding of a large argument.
        bad[bad] = (rest[bad] > 4 * _noise(function, z[bad])).any(axis=1)
        narrow = bad & (right - left < _NARROWEST)
        resolved &= not narrow.any()
        bad &= ~narrow
        done.append(left[~bad])
        middle = (left[bad] + right[bad]) / 2
        left, right = (
            np.stack([left[bad], middle], axis=1).ravel(),
            np.stack([middle, right[bad]], axis=1).ravel(),
        )
        if left.size + sum(d.size for d in done) > _MOST_PANELS:
            raise InputError(
                f"the network must be resolved by at most {_MOST_PANELS} panels; it has too much structure; "
                "sample the theory instead"
            )
    return Panels(np.append(np.sort(np.concatenate(done)), _WIDTH), inside, resolved)


def _noise(function: Function, z: Floats) -> Floats:
    """Rounding errors of functions at nodes (P, n) of panels, including rounding of the points, shape (P, M)."""
    if not z.size:
        return np.zeros((0, 1))
    points = z[:, ::2, None]
    here = function(points)
    # Second differences over 1e-12 are pure rounding, and so are steps to the next floating-point number.
    second = function(points + 1e-12) + function(points - 1e-12) - 2 * here
    moved = function(np.nextafter(points, np.inf)) - here
    return np.asarray(4 * np.maximum(np.abs(second), np.abs(moved)).max(axis=1))


def _missed(function: Function, probes: Floats, left: Floats, right: Floats, coefficients: Floats) -> Floats:
    """Largest error of the interpolant at the probes of each panel, shape (P, M)."""
    panel = np.searchsorted(left, probes, side="right") - 1
    inside = (panel >= 0) & (probes <= right[np.maximum(panel, 0)])
    panel, points = panel[inside], probes[inside]
    x = 2 * (points - left[panel]) / (right - left)[panel] - 1
    guess = np.einsum("pk,pkm->pm", legendre.legvander(x, coefficients.shape[1] - 1), coefficients[panel])
    missed = np.zeros((left.size, coefficients.shape[2]))
    np.maximum.at(missed, panel, np.abs(function(points[:, None]) - guess))
    return missed


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Averages of one function of one variable with a smooth density, standard normal by default.

    Attributes
    ----------
    mean, central : float, ndarray
        E f, and central moments 2, 3, 4, shape (3,).
    slope, slope_fourth : float
        E f'^2 and E f'^4, derivatives with respect to z.
    generator : float
        E (f'' + b f')^2, with b the derivative of the logarithm of the density (-z for a standard normal variable);
        infinite if f has kinks.
    """

    mean: float
    central: Floats
    slope: float
    slope_fourth: float
    generator: float

    @classmethod
    def of(
        cls, function: Function, panels: Panels, n: int, law: Callable[[Floats], tuple[Floats, Floats]] | None = None
    ) -> Moments:
        """Averages of the first function with n nodes per panel; ``law`` gives density and b at points (Q,)."""
        _, _, analysis, slopes, curvatures = _rule(n)
        z, weights = panels.nodes(n)
        drift = -z
        if law is not None:
            other, drift = law(z)
            weights = weights / density(z) * other
        f = function(z[:, None])[:, 0]
        width = np.diff(panels.edges)[:, None]
        mean = float(weights @ f)
        coefficients = f.reshape(-1, n) @ analysis.T
        # Derivatives would amplify coefficients beyond the last significant one, by the fourth power of the degree.
        size = np.abs(coefficients)
        beyond = np.maximum.accumulate(size[:, ::-1], axis=1)[:, ::-1] < _NOISE * size.max(axis=1)[:, None]
        coefficients = np.where(beyond, 0.0, coefficients)
        first = coefficients @ slopes.T * (2 / width)
        second = coefficients @ curvatures.T * (2 / width) ** 2
        kinked = not panels.resolved or _kinked(coefficients, panels, float(weights @ first.ravel() ** 2))
        return cls(
            mean=mean,
            central=np.array([weights @ (f - mean) ** k for k in (2, 3, 4)]),
            slope=float(weights @ first.ravel() ** 2),
            slope_fourth=float(weights @ first.ravel() ** 4),
            generator=np.inf if kinked else float(weights @ (second.ravel() + drift * first.ravel()) ** 2),
        )


def _kinked(coefficients: Floats, panels: Panels, slope: float) -> bool:
    """Whether the derivative jumps at a listed kink, by more than rounding and where the density is not negligible."""
    k = np.arange(coefficients.shape[1])
    rise = k * (k + 1) / 2
    width = np.diff(panels.edges)
    left_end = coefficients @ (rise * (-1.0) ** (k + 1)) * 2 / width
    right_end = coefficients @ rise * 2 / width
    inner = np.flatnonzero(np.isin(panels.edges[1:-1], panels.kinks))
    jump = np.abs(left_end[inner + 1] - right_end[inner])
    noise = 1e-13 * np.abs(coefficients).max(axis=1) / width
    threshold = 1e-9 * np.sqrt(slope) + 100 * (noise[inner + 1] + noise[inner])
    return bool(np.any(jump * np.sqrt(density(panels.edges[1:-1][inner])) > threshold))


def project(z: Floats, weights: Floats, values: Floats, order: int) -> Floats:
    """Coefficients E[f h_n], n = 0 ... order, shape (order + 1, M), from values (Q, M) at the nodes."""
    out = np.empty((order + 1, values.shape[1]))
    below, here = np.zeros_like(weights), weights.copy()
    columns = np.ascontiguousarray(values.T)
    out[0] = columns @ here
    for n in range(order):
        # The polynomials include the density, so that they do not overflow.
        below *= -np.sqrt(n / (n + 1))
        below += z * here * (1 / np.sqrt(n + 1))
        below, here = here, below
        out[n + 1] = columns @ here
    return out


def widest_panel(order: int) -> float:
    """Width of a panel at which its nodes resolve h_n, whose wave number is sqrt(n)."""
    return float(min(1.0, 6 / np.sqrt(order)))


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """Hermite coefficients and averages of one output x.

    Attributes
    ----------
    coefficients : ndarray
        Coefficients of x - mean, its square and its cube, shape (order + 1, ..., 3).
    order : int
        Highest polynomial per input.
    mean : float
    moments : ndarray
        Central moments 2, 3, 4, shape (3,).
    beyond : float
        Variance beyond the highest polynomial, [x]^2.
    error : float
        Relative error of the quadrature.
    gradient, gradient_squared : float
        E g and E g^2, g = sum_i sigma_i^2 (d_i x)^2.
    generator, generator_error : float
        E (L x)^2, L the generator of the inputs, and its relative error.
    """

    coefficients: Floats
    order: int
    mean: float
    moments: Floats
    beyond: float
    error: float
    gradient: float = 0.0
    gradient_squared: float = 0.0
    generator: float = 0.0
    generator_error: float = 0.0

    @classmethod
    def of_constant(cls, n_inputs: int, mean: float) -> Expansion:
        """Expansion of a constant."""
        nothing = np.zeros((2,) * n_inputs + (3,))
        return cls(coefficients=nothing, order=1, mean=mean, moments=np.zeros(3), beyond=0.0, error=0.0)

    @property
    def share(self) -> float:
        """Fraction of the variance beyond the highest polynomial."""
        return self.beyond / float(self.moments[0]) if self.moments[0] > 0 else 0.0


def fixed_network(theory: Theory) -> Network:
    """The network of a theory.

    Raises
    ------
    InputError
        If its weights are random, or its outputs may be larger than 1e70.
    """
    if isinstance(theory.network, RandomNetwork):
        raise InputError(
            f"theory must have fixed weights; got {theory.network!r}; use average_over_weights on the networks that "
            "draw_weights returns"
        )
    if theory.network is None:
        raise InputError("theory must have a network; got none; give one")
    reach = _FAR * np.sqrt(np.concatenate([source.variance for source in theory.sources]))
    largest = largest_output(theory.network, reach)
    if not largest <= _LARGEST_OUTPUT:
        raise InputError(
            f"outputs of the network must be below {_LARGEST_OUTPUT:g}, whose fourth power is in the range of float64; "
            f"got up to {largest:.1e}; use other units"
        )
    return theory.network


def expand(theory: Theory, output: int, spread: Floats, *, accuracy: float, share: float) -> Expansion:
    """The most accurate expansion of an output at given standard deviations of the inputs.

    Rules for several inputs are refined until the relative error is below ``accuracy`` and less than ``share`` of the
    variance lies beyond the highest polynomial.
    """
    if theory.n_inputs == 1:
        return _on_line(theory, output, spread)
    # Kinks are lines or planes here, which no number of nodes resolves.
    kinked = KINKED & set(fixed_network(theory).activations)
    rules = RULES_OF_INPUTS[theory.n_inputs][: 1 if kinked else None]
    finest = 2 * rules[-1][0] / (rules[-1][1] - 1)
    for rule in rules:
        found, hidden = _on_grid(theory, output, spread, rule)
        if found.error <= accuracy and max(found.generator_error, found.share) <= share:
            break
        hopeless = hidden.coarsest * finest > 2 * rule[0] / (rule[1] - 1)
        if hopeless and hidden.relative(float(found.moments[0])) > _HOPELESS * max(accuracy, share):
            break
    return found


def _on_line(theory: Theory, output: int, spread: Floats) -> Expansion:
    network = fixed_network(theory)

    def evaluate(z: Floats) -> Floats:
        return np.asarray(network(z * spread)[..., output : output + 1])

    kinks, probes = zeros_of_layers(network, float(spread[0]))
    panels = adapt(evaluate, kinks, probes)
    fine, coarse = (Moments.of(evaluate, panels, n) for n in (_FINE, _COARSE))
    variance = float(fine.central[0])
    need_units(variance)
    if variance <= (_CONSTANT * max(abs(fine.mean), 1e-300)) ** 2:
        return Expansion.of_constant(1, fine.mean)

    def coefficients(n: int, order: int) -> Floats:
        z, weights = panels.nodes(n, widest_panel(order))
        centred = evaluate(z[:, None]) - fine.mean
        return project(z, weights, centred ** np.array([1, 2, 3]), order)

    order = 0
    for wanted in _ORDERS[0 if np.isfinite(fine.generator) else 2 :]:
        most = _MOST_PRODUCTS // panels.nodes(_FINE, widest_panel(wanted))[0].size
        if order and most < wanted:
            break
        order = min(wanted, most)
        c = coefficients(_FINE, order)
        beyond = max(variance - float((c[1:, 0] ** 2).sum()), 0.0)
        if beyond <= (_LIGHT if order < _MANY else _LIGHT_ENOUGH) * variance:
            break
    rough = coefficients(_COARSE, order)
    power = variance ** (np.arange(2, 5) / 2)
    error = max(
        ROUNDING,
        abs(fine.mean - coarse.mean) / np.sqrt(variance),
        float(np.abs(c[1:, 0] ** 2 - rough[1:, 0] ** 2).max()) / variance,
        float((np.abs(fine.central - coarse.central) / power).max()),
        abs(fine.slope - coarse.slope) / fine.slope,
    )
    rate, s = theory.omega[0], theory.sigma[0] / spread[0]
    kinked = np.inf in (fine.generator, coarse.generator)
    return Expansion(
        coefficients=c,
        order=order,
        mean=fine.mean,
        moments=fine.central,
        beyond=beyond,
        error=float(error),
        gradient=s**2 * fine.slope,
        gradient_squared=s**4 * fine.slope_fourth,
        generator=np.inf if kinked else rate**2 * fine.generator,
        # The finer rule is not more accurate if rounding dominates, hence the factor.
        generator_error=0.0 if kinked else 4 * abs(fine.generator / coarse.generator - 1),
    )


def coarser(rule: tuple[float, int, int]) -> tuple[float, int, int]:
    """The coarser trapezoid rule for an error estimate."""
    width, nodes, order = rule
    return 0.95 * width, int(0.8 * nodes), order


def _on_grid(theory: Theory, output: int, spread: Floats, rule: tuple[float, int, int]) -> tuple[Expansion, Hidden]:
    fine, coarse = (_grid_expansion(theory, output, spread, *r) for r in (rule, coarser(rule)))
    z, weights = trapezoid(*rule[:2])
    hidden = hidden_by_grid(
        fixed_network(theory), output, [s * z for s in spread], [weights] * len(spread), [False] * len(spread)
    )
    variance = float(fine.moments[0])
    need_units(variance)
    constant = (_CONSTANT * max(abs(fine.mean), 1e-300)) ** 2
    if variance <= constant:
        lacking = 0.0 if hidden.powers[1] <= constant else np.inf
        return replace(Expansion.of_constant(theory.n_inputs, fine.mean), error=lacking), hidden
    error = max(
        ROUNDING,
        hidden.relative(variance),
        float(np.abs(fine.coefficients[..., 0] ** 2 - coarse.coefficients[..., 0] ** 2).max()) / variance,
        float((np.abs(fine.moments - coarse.moments) / variance ** (np.arange(2, 5) / 2)).max()),
        abs(fine.gradient - coarse.gradient) / fine.gradient,
    )
    change = abs(fine.generator - coarse.generator) / fine.generator
    return replace(fine, error=error, generator_error=change), hidden


def _grid_expansion(theory: Theory, output: int, spread: Floats, width: float, nodes: int, order: int) -> Expansion:
    """Coefficients and averages by the trapezoid rule on a tensor grid, without an error estimate."""
    z, weights = trapezoid(width, nodes)
    grid = np.stack(np.meshgrid(*(s * z for s in spread), indexing="ij"), axis=-1)
    f = fixed_network(theory)(grid)[..., output]
    # Hermite polynomials times the density do not overflow.
    hermite = hermite_functions(z, weights, order) * np.sqrt(weights)
    mean = _mean(weights, f)
    centred = f - mean
    coefficients = np.empty((order + 1,) * theory.n_inputs + (3,))
    powers = [centred, centred * centred, centred * centred * centred]
    for i, projected in enumerate(powers):
        for _ in range(theory.n_inputs):
            # Each pass projects the first axis and appends the result, which keeps the order of the inputs.
            projected = np.tensordot(projected, hermite, axes=(0, 1))
        coefficients[..., i] = projected
    coefficients[(0,) * theory.n_inputs + (0,)] = 0
    moments = np.array([_mean(weights, x) for x in (powers[1], powers[2], powers[1] * powers[1])])
    gradient, squared, generator = _derivatives(theory, spread, z, weights, centred)
    beyond = max(float(moments[0]) - float((coefficients[..., 0] ** 2).sum()), 0.0)
    return Expansion(
        coefficients=coefficients,
        order=order,
        mean=mean,
        moments=moments,
        beyond=beyond,
        error=np.inf,
        gradient=gradient,
        gradient_squared=squared,
        generator=generator,
    )


def _derivatives(theory: Theory, spread: Floats, z: Floats, weights: Floats, f: Floats) -> tuple[float, float, float]:
    r"""E g, E g^2 and E(L f)^2, g = sum_i sigma_i^2 (d_i f)^2, L = sum_i (sigma_i^2/2) d_i^2 - omega_i y_i d_i.

    With u = f times the root of the density, f' becomes u' + z u/2 and f'' - z f' becomes u'' + (1/2 - z^2/4) u;
    u' and u'' are derivatives of the sinc interpolant, as accurate as the trapezoid rule itself.
    """
    step = z[1] - z[0]
    distance = np.arange(z.size)[:, None] - np.arange(z.size) + np.eye(z.size)
    sign = (-1.0) ** np.abs(np.arange(z.size)[:, None] - np.arange(z.size))
    slope, curvature = sign / (step * distance), -2 * sign / (step * distance) ** 2
    np.fill_diagonal(slope, z / 2)
    np.fill_diagonal(curvature, 0.5 - z**2 / 4 - (np.pi / step) ** 2 / 3)
    root = np.ones(())
    for _ in range(f.ndim):
        root = np.multiply.outer(root, np.sqrt(weights))
    u = f * root
    gradient, generator = np.zeros(f.shape), np.zeros(f.shape)
    for axis, (rate, sigma) in enumerate(zip(theory.omega, theory.sigma, strict=True)):
        first = np.moveaxis(np.tensordot(slope, u, axes=(1, axis)), 0, axis)
        gradient += (sigma / spread[axis] * first) ** 2
        generator += rate * np.moveaxis(np.tensordot(curvature, u, axes=(1, axis)), 0, axis)
    # At smaller densities the quotient is dominated by the error of the interpolant.
    seen = root > 1e-6
    squared = float(((gradient[seen] / root[seen]) ** 2).sum())
    return float(gradient.sum()), squared, float((generator**2).sum())


def _mean(weights: Floats, values: Floats) -> float:
    for _ in range(values.ndim):
        values = np.asarray(weights @ values)
    return float(values)
