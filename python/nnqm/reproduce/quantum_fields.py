"""Claims: neural networks as quantum fields: propagators, positivity, dispersion."""

from __future__ import annotations

import numpy as np

from ..fields.correlators import correlator_by_distance
from ..fields.cos_net import CosNet
from ..fields.dispersions import dispersion
from ..fields.field import Field
from ..fields.finite_width import n_point
from ..fields.networks import convolution
from ..fields.periodic_box import PeriodicBox
from ..fields.reflection_positive_net import ReflectionPositiveNet
from ..fields.regulator import Regulator
from ..positivity.reflection import reflection_positivity
from ..runs.simulation import simulate
from ..sampling.measure import Measure
from ..sampling.observables import default_observables
from ..sampling.path_source import Paths
from ..sampling.paths import sample_paths
from ..statistics.estimate import Estimate, jackknife
from ..theories.theory import Theory
from .record import Curve, Number, Panel, Record, compared, computed, jointly, measured, positive, undecided, violated
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2601.14453"


@claim(
    "propagators",
    "2604.27050",
    "the two-point function of the architecture",
    "Networks of finite width have exactly the propagator of the free field, up to their regulator.",
)
def propagators(effort: Effort) -> Record:
    width, cutoff = 20, 20.0
    at = np.linspace(0.0, 4.0, 17)
    fields: dict[str, Field] = {
        "cos-net": CosNet(2, 1.0, width, regulator=Regulator("gaussian", cutoff), points=at),
        "reflection-positive net": ReflectionPositiveNet(2, 1.0, width, cutoff=cutoff, points=at),
        "box of 32 sites, spacing 0.25": PeriodicBox(1.0, 32, spacing=0.25),
    }
    n_paths = effort.size(64_000, 16_000)
    numbers: list[Number] = []
    curves = []
    from scipy.special import k0

    r = np.linspace(0.15, 4.0, 80)
    curves.append(Curve.of("free field, K_0(m r)/2 pi", r, k0(r) / (2 * np.pi)))
    for i, (name, field) in enumerate(fields.items()):
        run = simulate(
            Theory(field),
            n_paths,
            1 if isinstance(field, CosNet) else 8,
            1.0,
            rng=effort.rng(i),
            n_threads=effort.n_threads,
            measure=Measure(lags=[0], observable_lags=[], increment_lags=[]),
        )
        found = correlator_by_distance(run)
        inside = np.flatnonzero((found.distances > 0) & (found.distances < 4.01))
        exact = np.ravel(field.propagator(0.0, found.displacements[inside]))
        values = found.values[inside, 0]
        few = np.unique(np.linspace(0, len(inside) - 1, min(8, run.n_blocks // 10)).astype(int))
        numbers.append(jointly(f"{name}: at {len(few)} distances", values[few], exact[few]))
        numbers.append(compared(f"{name}: r = {found.distances[inside[3]]:g}", values[3], exact[3]))
        curves.append(Curve.of(name, found.distances[inside], values))
    for dimension, known in ((2, 0.06700812), (3, 0.02927492), (4, 0.01524649)):
        field = CosNet(dimension, 1.0, width, regulator=Regulator("hard", 1e4, spatial=True))
        value = float(np.ravel(field.propagator(1.0, np.zeros(dimension - 1)))[0])
        numbers.append(computed(f"propagator in d = {dimension} at t = 1, no cutoff of the energy", value, known, 1e-8))
    return Record(
        f"m = 1, networks of {width} neurons, cutoff {cutoff:g}; {n_paths:,} paths",
        tuple(numbers),
        "statistical, jackknife over independent blocks; exact column: with the regulator",
        (Panel("Propagators", "distance r, unit 1/m", "<phi(0, r) phi(0, 0)>", tuple(curves), "y", (2e-3, 0.4)),),
        "Sampled networks beside the propagator without cutoff.",
    )


@claim(
    "positivity-of-fields",
    _PAPER,
    "conclusion: which networks obey the axioms of Osterwalder and Schrader is open",
    "Of two networks with one propagator, the cos-net violates reflection positivity at finite width; the net of "
    "spatial "
    "momenta with Ornstein-Uhlenbeck amplitudes is reflection positive at every width.",
)
def positivity_of_fields(effort: Effort) -> Record:
    widths = (2, 10, 20)[: effort.size(3, 2)]
    n_paths = effort.size(12_000, 4_000)
    at = (0.0, 0.3, 1.0)
    numbers: list[Number] = []
    norms: dict[str, list[float]] = {"cos-net, exact": [], "cos-net": [], "reflection-positive net": []}
    errors: dict[str, list[float]] = {"cos-net": [], "reflection-positive net": []}
    for i, width in enumerate(widths):
        waves = CosNet(2, 1.0, width, regulator=Regulator("hard", 50.0, spatial=True), points=at)
        oscillators = ReflectionPositiveNet(2, 1.0, width, 50.0, points=at)
        exact = _exchange_norm(waves)
        norms["cos-net, exact"].append(width * exact)
        for j, (name, field) in enumerate((("cos-net", waves), ("reflection-positive net", oscillators))):
            paths = Paths(Theory(field), n_paths, 32, 0.2, rng=effort.rng(10 * i + j), n_threads=effort.n_threads)
            every = reflection_positivity(paths)
            norm = _sampled_norm(Theory(field), effort, 10 * i + j + 5)
            if name == "cos-net":
                numbers.append(violated(f"N = {width}, {name}: <F(reflected) F>, worst F found", every))
                numbers.append(compared(f"N = {width}, {name}: norm of the exchange functional", norm, exact))
            else:
                numbers.append(positive(f"N = {width}, {name}: <F(reflected) F>, worst F found", every))
                numbers.append(measured(f"N = {width}, {name}: norm of the exchange functional", norm))
            norms[name].append(width * float(norm.value))
            errors[name].append(width * float(norm.total_error))
    curves = [Curve.of("cos-net, exact", widths, norms["cos-net, exact"], "dashed")]
    curves += [
        Curve(name, tuple(float(w) for w in widths), tuple(norms[name]), tuple(error), "points")
        for name, error in errors.items()
    ]
    return Record(
        f"d = 2, m = 1, cutoff 50 of spatial momenta, three points; {n_paths:,} paths x 32 times, dt = 0.2",
        tuple(numbers),
        "statistical; F is chosen on one part of the paths and tested on another",
        (Panel("Exchange functional", "width N", "N <F(reflected) F>/<F^2>", tuple(curves), "x"),),
        "F = phi(t1, x1) phi(t2, x2) - phi(t1, x2) phi(t2, x1): its norm is negative for the cos-net.",
        (
            "The paper asks which networks obey the axioms; it does not contain these networks. Positivity of "
            "the second one "
            "is a theorem (docs/positivity-of-fields.md): the momenta are shared by both sides of t = 0.",
        ),
    )


@claim(
    "dispersion",
    _PAPER,
    "networks as fields in d >= 2, here in a periodic box",
    "A deep network of a free field in a box is a field whose lowest energies at each momentum are those of one "
    "particle, "
    "omega(q).",
)
def field_dispersion(effort: Effort) -> Record:
    sites, dt = 8, 0.1
    box = PeriodicBox(mass=1.0, sites=sites)
    rng = np.random.default_rng(1)
    deep = convolution(box, [rng.normal(size=shape) for shape in ((4, 1, 3), (4, 4, 3), (3, 4, 1))])
    theory = Theory(box, deep)
    seen = default_observables(theory, order=3)
    run = simulate(
        theory,
        effort.size(20_000, 4_000),
        24,
        dt,
        rng=effort.rng(),
        n_threads=effort.n_threads,
        measure=Measure(observables=seen, lags=(), increment_lags=(), observable_lags=(1, 2, 3, 5)),
    )
    found = dispersion(run)
    exact = found.thresholds(1)
    numbers: list[Number] = []
    shown = []
    for q, energy, known, verdict in zip(found.momenta[:, 0], found.energies, exact, found.verdicts, strict=True):
        name = f"E(q), q = {q:.4g}/a"
        if energy is None:
            numbers.append(undecided(name, str(verdict)))
        else:
            numbers.append(compared(name, energy, float(known)))
            shown.append((float(q), float(energy.value), float(energy.total_error)))
    q = np.linspace(0, np.pi, 60)
    curves = [Curve.of("omega(q)", q, np.sqrt(1 + 4 * np.sin(q / 2) ** 2))]
    if shown:
        columns = tuple(zip(*shown, strict=True))
        curves.append(Curve("deep field, measured", columns[0], columns[1], columns[2], "points"))
    return Record(
        f"d = 2, {sites} sites, lattice dispersion, m = 1; three layers of convolutions; "
        f"{effort.size(20_000, 4_000):,} paths x 24 times, dt = {dt:g}",
        tuple(numbers),
        "first bracket statistical, second bracket systematic (t0)",
        (Panel("Energy by momentum", "momentum q, unit 1/a", "E(q)/m", tuple(curves), "", (0, 3)),),
        "Energies of a deep neural field in a box beside the frequencies of the free field.",
    )


# Times of the exchange functional in steps from the reflection, and its two points.
_EARLY, _LATE, _STEP, _HERE, _THERE = 2, 8, 0.2, 0.0, 1.0


def _sampled_norm(theory: Theory, effort: Effort, number: int) -> Estimate:
    """<F(reflected) F>/<F^2> of the exchange functional on paths, reflected about their middle."""
    x = sample_paths(
        theory, effort.size(32_000, 16_000), 2 * _LATE + 1, _STEP, rng=effort.rng(number), n_threads=effort.n_threads
    ).astype(float)

    def exchange(early: int, late: int) -> np.ndarray:
        return np.asarray(x[:, early, 0] * x[:, late, 2] - x[:, early, 2] * x[:, late, 0])

    after, before = exchange(_LATE + _EARLY, 2 * _LATE), exchange(_LATE - _EARLY, 0)
    # Blocks hold whole groups of 8 paths, which share their momenta.
    products, squares = (v.reshape(100, -1).sum(axis=1) for v in (after * before, (after**2 + before**2) / 2))
    sums = {"products": products, "squares": squares}
    found: Estimate = jackknife(lambda s: s["products"] / s["squares"], sums, np.full(100, len(x) / 100))
    return found


def _exchange_norm(field: CosNet) -> float:
    """<F(reflected) F>/<F^2> of a cos-net by its exact four-point function."""
    times = np.array([_EARLY, _LATE]) * _STEP
    terms = [(1, (times[0], _HERE), (times[1], _THERE)), (-1, (times[0], _THERE), (times[1], _HERE))]

    def average(mirror: int) -> float:
        flip = np.array([mirror, 1])
        points = [[flip * np.array(a), flip * np.array(b), c, d] for _, a, b in terms for _, c, d in terms]
        signs = [s * q for s, _, _ in terms for q, _, _ in terms]
        return float(np.dot(signs, n_point(field, points).value))

    return average(-1) / average(1)
