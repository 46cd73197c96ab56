"""Claims: the uncertainty relation, and the commutator from the roughness of paths."""

from __future__ import annotations

import numpy as np

from ..estimators.roughness import (
    Extrapolation,
    commutator,
    commutator_at_lags,
    commutator_spread,
    roughness_exponent,
    uncertainty,
)
from ..exact.spectral_measures import kallen_lehmann
from ..runs.simulation import simulate
from ..sampling.accumulator import accumulate
from ..sampling.correlators import Correlators
from ..sampling.measure import Measure
from ..sampling.paths import sample_paths
from ..spectra.correlator_matrix import spectrum
from ..theories.builtin import builtin_theory, harmonic_oscillator
from ..theories.densities import Density
from ..theories.networks import Network
from ..theories.sources import OrnsteinUhlenbeck
from ..theories.theory import Theory
from ..time_networks.decompose import karhunen_loeve
from ..time_networks.kernels import CosineNetwork, Kernel
from ..verdict import Verdict
from .record import Curve, Number, Panel, Record, compared, computed, undecided
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2504.05462"
_ERROR = (
    "first bracket statistical, jackknife over independent blocks; second bracket systematic, of the extrapolation "
    "dt -> 0 or of the truncated sum over levels"
)
_SHORT = Measure(lags=[0], observable_lags=[])


def _run(theory: Theory, effort: Effort, number: int, *, dt: float = 0.05) -> Correlators:
    return simulate(
        theory,
        effort.size(400_000, 50_000),
        64,
        dt,
        rng=effort.rng(number),
        measure=_SHORT,
        n_threads=effort.n_threads,
    )


def _limit(quantity: str, found: Extrapolation, exact: float) -> Number:
    """A limit dt -> 0 beside its exact value; undecided if it has no value."""
    if found.estimate is None:
        return undecided(quantity, str(found.verdict))
    return compared(quantity, found.estimate, exact)


@claim(
    "uncertainty",
    _PAPER,
    "Heisenberg uncertainty, numerical examples",
    "The oscillator saturates the uncertainty relation, dx dp = hbar/2; networks of it obey dx dp >= (hbar/2) "
    "[x,p]/(i hbar).",
)
def uncertainty_relation(effort: Effort) -> Record:
    numbers: list[Number] = []
    oscillator = harmonic_oscillator()
    run = _run(oscillator, effort, 0)
    numbers.append(_limit("oscillator: dx dp, dt -> 0, unit hbar", uncertainty(run), 0.5))
    levels = simulate(oscillator, effort.size(400_000, 50_000), 64, 0.2, rng=effort.rng(1), n_threads=effort.n_threads)
    squared = spectrum(levels, 5).momentum_squared
    if squared is None:
        numbers.append(undecided("oscillator: dx dp from levels", "no level was resolved"))
    else:
        moment = levels.moments()[0]
        from_levels = moment.map(lambda v, p: np.sqrt(v * p), squared)
        numbers.append(compared("oscillator: dx dp from levels, unit hbar", from_levels, 0.5))
    for i, name in enumerate(("deep-tanh", "anharmonic"), start=2):
        theory = builtin_theory(name)
        exact = kallen_lehmann(theory)
        found = uncertainty(_run(theory, effort, i, dt=0.02))
        numbers.append(_limit(f"{name}: dx dp, dt -> 0, unit hbar", found, exact.uncertainty))
        bound = 0.5 * exact.commutator
        numbers.append(
            Number(
                f"{name}: dx dp less (hbar/2) [x,p]/(i hbar), exact",
                Verdict.HOLDS,
                exact.uncertainty >= bound,
                exact.uncertainty - bound,
                remark="Robertson's relation: not negative",
            )
        )
    return Record(f"{effort.size(400_000, 50_000):,} paths x 64 times", tuple(numbers), _ERROR)


@claim(
    "commutator",
    _PAPER,
    "non-differentiability and the commutator",
    "The commutator [x,p] = i hbar comes from the roughness of paths, <(dx)^2> = (hbar/m) dt, for every Hamiltonian "
    "p^2/2m + V(x).",
)
def commutator_from_roughness(effort: Effort) -> Record:
    numbers: list[Number] = []
    curves = []
    theories = {
        "oscillator": (harmonic_oscillator(), 0.05),
        "x^4 oscillator": (builtin_theory("anharmonic"), 0.02),
        "double well": (builtin_theory("double-well"), 0.01),
    }
    for i, (name, (theory, dt)) in enumerate(theories.items()):
        run = _run(theory, effort, i, dt=dt)
        exact = kallen_lehmann(theory)
        numbers.append(
            compared(f"{name}: [x,p]/(i hbar) at dt = {dt:g}", commutator_at_lags(run)[0], exact.commutator_at([dt])[0])
        )
        numbers.append(_limit(f"{name}: [x,p]/(i hbar), dt -> 0", commutator(run), 1.0))
        numbers.append(
            compared(f"{name}: roughness exponent H at dt", roughness_exponent(run), exact.roughness_exponent(dt))
        )
        lags = np.array([lag for lag in run.increment_lags if lag <= 16])
        curves.append(Curve.of(name, lags * dt, commutator_at_lags(run)[: len(lags)]))
        fine = np.linspace(0.002, 0.8, 200)
        curves.append(Curve.of("", fine, exact.commutator_at(fine)))
    return Record(
        f"{effort.size(400_000, 50_000):,} paths x 64 times",
        tuple(numbers),
        _ERROR,
        (Panel("Commutator at scale epsilon", "epsilon", "[x,p]/(i hbar)", tuple(curves), "x", (0, 1.1)),),
        "The commutator tends to 1 at short times for all three Hamiltonians; lines: exact.",
    )


@claim(
    "smooth-paths-commute",
    _PAPER,
    "non-differentiability and the commutator",
    "Paths that are smooth in time have no commutator: a network of finitely many smooth neurons loses it below "
    "the scale "
    "T/K, and generic networks of t never have it.",
)
def smooth_paths_commute(effort: Effort) -> Record:
    duration, n_modes = 10.0, 100
    full = karhunen_loeve(Kernel.ornstein_uhlenbeck(omega=1.0), (0.0, duration), n_modes)
    scale = duration / n_modes
    numbers: list[Number] = []
    for factor in (10.0, 20.0):
        epsilon = factor * scale
        missing = -np.expm1(-epsilon) / epsilon - float(full.commutator_at(epsilon))
        leading = 2 / (np.pi**2 * factor)
        numbers.append(
            computed(
                f"oscillator, {n_modes} neurons: missing part of [x,p]/(i hbar) at epsilon = {factor:g} T/K",
                missing,
                leading,
                leading / (2 * factor**2),
                remark="exact column: the leading term 2 T/(pi^2 K epsilon), and in brackets the size of the next one",
            )
        )
    small = [float(full.commutator_at(scale * f)) for f in (0.01, 0.001)]
    numbers.append(
        computed(
            f"oscillator, {n_modes} neurons: ratio of commutators at epsilon = 0.01 and 0.001 T/K",
            small[0] / small[1],
            10.0,
            0.01,
            remark="smooth: proportional to epsilon",
        )
    )
    waves = CosineNetwork(Density("gaussian"), width=16).theory()
    paths = sample_paths(waves, effort.size(100_000, 20_000), 64, 0.05, rng=effort.rng(), n_threads=effort.n_threads)
    run = accumulate(paths, dt=0.05, measure=_SHORT)
    limit = commutator(run)
    numbers.append(
        Number(
            "cosine network: limit dt -> 0 of [x,p]/(i hbar)",
            limit.verdict,
            limit.verdict is Verdict.SMOOTH,
            remark="the estimator reports smooth paths, and no commutator",
        )
    )
    dt = 0.05
    increments = [2 * (1 - np.exp(-((k * dt) ** 2) / 2)) for k in (1, 2)]
    exponent = float(np.log2(increments[1] / increments[0]) / 2)
    numbers.append(compared("cosine network: roughness exponent H at dt = 0.05", roughness_exponent(run), exponent))
    at_dt = commutator_at_lags(run)[0]
    numbers.append(compared("cosine network: [x,p]/(i hbar) at dt = 0.05", at_dt, increments[0] / dt))
    fine = np.geomspace(5e-3, 3, 36)
    curves = [Curve.of(f"{n} neurons", fine, full.truncated(n).commutator_at(fine)) for n in (10, 30, 100)]
    curves.append(Curve.of("all neurons", fine, -np.expm1(-fine) / fine, "dashed"))
    return Record(
        f"oscillator on (0, {duration:g}), K = {n_modes} neurons, exact; cosine network of 16 neurons, "
        f"{effort.size(100_000, 20_000):,} paths, dt = {dt:g}",
        tuple(numbers),
        "rows of the oscillator: exact at finite K, compared with the leading term; sampled rows: statistical",
        (Panel("Commutator of K neurons", "scale epsilon", "[x,p]/(i hbar)", tuple(curves), "x", (0, 1.1)),),
        "A network of K smooth neurons has no commutator below epsilon = T/K (1, 0.33 and 0.1 here).",
    )


@claim(
    "commutator-of-networks",
    _PAPER,
    "deep NN-QM",
    "For a network x = f(y) the commutator is an operator, hbar f'(y)^2, not a number.",
)
def commutator_of_networks(effort: Effort) -> Record:
    numbers: list[Number] = []
    theories = {
        "1-8-1 tanh": Network.random((1, 8, 1), rng=1, bias_std=0.5),
        "1-16-16-1 tanh": Network.random((1, 16, 16, 1), rng=2, weight_std=1.5, bias_std=0.5),
        "1-8-1 sin": Network.random((1, 8, 1), "sin", rng=3, weight_std=1.5, bias_std=0.5),
    }
    for i, (name, network) in enumerate(theories.items()):
        theory = Theory(OrnsteinUhlenbeck(1.0), network)
        exact = kallen_lehmann(theory)
        dt = 0.01
        run = _run(theory, effort, i, dt=dt)
        numbers.append(_limit(f"{name}: [x,p]/(i hbar), dt -> 0", commutator(run), exact.commutator))
        spread = commutator_spread(run)
        numbers.append(
            compared(
                f"{name}: <[x,p]^2>/<[x,p]>^2 at dt = {dt:g}",
                spread if spread.ndim == 0 else spread[0],
                float(np.ravel(exact.commutator_spread_at(dt))[0]),
                remark=f"1 for a number; dt -> 0: {exact.commutator_spread:.6g}",
            )
        )
    return Record(
        f"{effort.size(400_000, 50_000):,} paths x 64 times, one Ornstein-Uhlenbeck input, omega = 1",
        tuple(numbers),
        _ERROR,
    )
