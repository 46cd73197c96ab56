"""Claims: the spectrum of the oscillator, by three ways, and Hamiltonians made to order."""

from __future__ import annotations

import numpy as np

from ..learning.inverse_design import hamiltonian_with_gaps
from ..quantum.hamiltonian import Hamiltonian
from ..quantum.states import State
from ..runs.simulation import simulate
from ..sampling.measure import Measure
from ..sampling.observables import default_observables
from ..sampling.path_source import Paths
from ..spectra.correlator_matrix import spectrum
from ..spectra.hidden_state import hidden_spectrum
from ..statistics.estimate import Estimate
from ..theories.builtin import harmonic_oscillator
from ..theories.theory import Theory
from ..verdict import Verdict
from .record import Curve, Number, Panel, Record, compared, computed, undecided
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2504.05462"


@claim(
    "oscillator-schroedinger",
    _PAPER,
    "the spectrum of the oscillator",
    "The Schroedinger equation of the oscillator has the levels E_n = n + 1/2 and the states of Hermite polynomials.",
)
def oscillator_schroedinger(effort: Effort) -> Record:
    oscillator = Hamiltonian([0, 0, 0.5])
    energies, errors = oscillator.energies(10), oscillator.level_errors(10)
    numbers = [computed(f"E_{n}, unit hbar omega", energies[n], n + 0.5, float(errors[n])) for n in (0, 1, 2, 3, 5, 9)]
    # In the Hilbert space: trial states He_n(sqrt 2 x) exp(-x^2/2), their norms, overlaps and energies.
    polynomials = [np.polynomial.hermite.Hermite.basis(n) for n in range(5)]
    states = [_hermite(oscillator, h) for h in polynomials]
    overlap = max(abs(states[m].inner(states[n])) for m in range(5) for n in range(m))
    numbers.append(computed("largest overlap of two of five Hermite states", float(overlap), 0.0, 1e-10))
    for n in (0, 4):
        numbers.append(computed(f"<H> in the Hermite state {n}", states[n].expectation("H"), n + 0.5, 1e-9))
    ground = states[0]
    product = ground.uncertainty("x") * ground.uncertainty("p")
    numbers.append(computed("dx dp in the ground state", product, 0.5, 1e-9))
    x = np.linspace(-4.5, 4.5, 241)
    curves = [Curve.of("V(x)", x, np.minimum(x**2 / 2, 6.0), "dashed")]
    curves += [Curve.of(f"n = {n}", x, n + 0.5 + 0.6 * oscillator.wave_function(n, x)) for n in range(5)]
    return Record(
        "H = p^2/2 + x^2/2, hbar = m = 1; basis of sinc functions that is refined until the levels stop changing",
        tuple(numbers),
        "numerical: certified error of the levels; rounding of the inner products",
        (Panel("Levels and wave functions", "x", "E_n + 0.6 psi_n(x)", tuple(curves), "", (0, 6)),),
        "Wave functions of the oscillator on their levels.",
    )


@claim(
    "oscillator-paths",
    _PAPER,
    "the spectrum of the oscillator from the numerical network",
    "Paths of the oscillator's process alone give the levels E_n - E_0 = n hbar omega.",
)
def oscillator_paths(effort: Effort) -> Record:
    n_paths = effort.size(1_000_000, 100_000)
    run = simulate(harmonic_oscillator(), n_paths, 256, 0.2, rng=effort.rng(), n_threads=effort.n_threads)
    found = spectrum(run, 5)
    numbers: list[Number] = []
    shown: list[tuple[int, Estimate]] = []
    for n, level in enumerate(found.levels, start=1):
        name = f"E_{n} - E_0, unit hbar omega"
        if level.resolved and level.gap is not None:
            numbers.append(compared(name, level.gap, float(n)))
            shown.append((n, level.gap))
        else:
            numbers.append(undecided(name, str(level.verdict)))
    weight = found.levels[0].weight
    if weight is not None:
        numbers.append(compared("|<0|x|1>|^2", weight, 0.5))
    excess = [(float(g.value) - n) / n for n, g in shown]
    errors = [float(g.total_error) / n for n, g in shown]
    curve = Curve("measured", tuple(float(n) for n, _ in shown), tuple(excess), tuple(errors), "points")
    return Record(
        f"{n_paths:,} paths x 256 times, dt = 0.2/omega; generalised eigenvalue problem of 23 observables",
        tuple(numbers),
        "first bracket statistical, jackknife over 128 blocks; second bracket, if any, the choice of t0",
        (Panel("Levels from paths", "n", "(E_n - E_0)/(n hbar omega) - 1", (curve,)),),
        "Relative deviation of the measured levels from n hbar omega.",
        ("Paths determine differences of levels only; with E_0 = 1/2 of the Schroedinger equation E_n = n + 1/2.",),
    )


@claim(
    "oscillator-hilbert-space",
    _PAPER,
    "the Hilbert space of Osterwalder and Schrader",
    "The Hilbert space whose inner product is the reflection-positive form <F(reflected) G>, and the transfer "
    "operator on "
    "it, give the same levels.",
)
def oscillator_hilbert_space(effort: Effort) -> Record:
    n_paths = effort.size(200_000, 30_000)
    theory = harmonic_oscillator()
    numbers: list[Number] = []
    paths = Paths(theory, n_paths, 64, 0.2, rng=effort.rng(), n_threads=effort.n_threads)
    found = hidden_spectrum(paths, n_levels=3)
    for n, level in enumerate(found.levels, start=1):
        name = f"E_{n} - E_0 from the reconstructed Hilbert space"
        if level.resolved and level.gap is not None:
            numbers.append(compared(name, level.gap, float(n)))
        else:
            numbers.append(undecided(name, str(level.verdict)))
    # Exact matrix of the functionals x(t)^n, n = 0 to 4, at t = 0.3: moments of two correlated Gaussian variables.
    metric, moved = (_moments(0.5, rho, 5) for rho in (np.exp(-0.6), np.exp(-1.1)))
    energies = -np.log(np.sort(np.linalg.eigvals(np.linalg.solve(metric, moved)).real)[::-1]) / 0.5
    for n in (1, 2, 3, 4):
        numbers.append(computed(f"E_{n} - E_0, exact form of the functionals x(t)^k, k <= 4", energies[n], n, 1e-8))
    lowest = float(np.linalg.eigvalsh(metric)[0])
    numbers.append(
        Number(
            "lowest eigenvalue of the form <F(reflected) G> of these functionals",
            Verdict.POSITIVE_ON_GRID if lowest > 0 else Verdict.VIOLATED,
            lowest > 0,
            lowest,
            remark="positive: an inner product",
        )
    )
    return Record(
        f"{n_paths:,} paths x 64 times, dt = 0.2; functionals of three times t >= 0, reflected about t = 0; "
        "exact form: t = 0.3, moved by 0.5",
        tuple(numbers),
        "first bracket statistical; second bracket: fall of the level with t0. Exact rows: rounding",
    )


@claim(
    "hamiltonians-to-order",
    _PAPER,
    "outlook on the engineering of Hamiltonians",
    "Networks can be found whose quantum system has given levels: here the gaps are the first primes.",
)
def hamiltonians_to_order(effort: Effort) -> Record:
    primes = (2, 3, 5, 7, 11)[: effort.size(5, 4)]
    design = hamiltonian_with_gaps(primes)
    numbers = [computed(f"gap {n}, solved", design.gaps[n - 1], p, 1e-7) for n, p in enumerate(primes, start=1)]
    n_paths = effort.size(100_000, 30_000)
    theory = Theory(design.source)
    run = simulate(
        theory,
        n_paths,
        128,
        0.05,
        rng=effort.rng(),
        n_threads=effort.n_threads,
        measure=Measure(observables=default_observables(theory, neurons=32), increment_lags=[]),
    )
    for n, level in enumerate(spectrum(run, 3).levels, start=1):
        if level.resolved and level.gap is not None:
            numbers.append(compared(f"gap {n}, measured on paths", level.gap, primes[n - 1]))
        else:
            numbers.append(undecided(f"gap {n}, measured on paths", str(level.verdict)))
    hamiltonian = design.source.hamiltonian
    x = np.linspace(-4.0, 4.0, 401)
    curves = [Curve.of("V(x) - E_0", x, np.minimum(hamiltonian.potential(x), 16.0))]
    curves += [Curve.of(f"gap {p}", x[[0, -1]], [p, p], "dotted") for p in primes]
    return Record(
        f"ground state exp(-W), W a network; {n_paths:,} paths x 128 times, dt = 0.05",
        tuple(numbers),
        "solved: numerical, the fit's tolerance 1e-7; measured: statistical, second bracket systematic",
        (Panel("Potential whose gaps are primes", "x", "energy", tuple(curves), "", (-8, 16)),),
        "The potential that was found, and the gaps.",
    )


def _hermite(oscillator: Hamiltonian, polynomial: np.polynomial.hermite.Hermite) -> State:
    """The normalised state of a Hermite polynomial times exp(-x^2/2)."""
    return oscillator.state(lambda x: np.asarray(polynomial(x) * np.exp(-(x**2) / 2))).normalised()


def _moments(variance: float, rho: float, size: int) -> np.ndarray:
    """E x^i y^j of two Gaussian variables of one variance and the correlation ``rho``, shape (size, size)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    weights = weights / weights.sum()
    x = np.sqrt(variance) * nodes
    y = rho * x[:, None] + np.sqrt(variance * (1 - rho**2)) * nodes
    powers = np.arange(size)
    conditional = np.einsum("abj,b->aj", y[:, :, None] ** powers, weights)
    return np.asarray(np.einsum("ai,aj,a->ij", x[:, None] ** powers, conditional, weights))
