"""The tables of docs/architectures.md: each row is proved for one theory, by ``check`` and by exact functions."""

import itertools
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import nnqm
from nnqm import Network, OrnsteinUhlenbeck, Theory, Verdict
from nnqm.errors import InputError
from nnqm.fields import CosNet, PeriodicBox, ReflectionPositiveNet, Regulator, pointwise

PAGE = Path(__file__).parent.parent / "docs" / "architectures.md"


def tables():
    """Rows of the page by their names: {name: {heading: cell}}."""
    found, headings = {}, []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[:1] == ["row"]:
            headings = cells
        elif cells and re.fullmatch(r"`[\w-]+`", cells[0]):
            found[cells[0].strip("`")] = dict(zip(headings, cells, strict=True))
    return found


ROWS = tables()
ANHARMONIC = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
# Inputs whose rates differ, so that the memory of functions of both is seen with few paths.
TWO = OrnsteinUhlenbeck([0.5, 5.0], [1.0, 3.2])
POINTS = [0.0, 1.0]
FUNCTION = Network([[[1.0], [3.0]], [[1.0, 0.7]]])


class Case(NamedTuple):
    """A theory, and its levels where it has some."""

    theory: Theory
    levels: tuple[float, ...] = ()


def sums(*steps):
    """The four lowest sums of multiples of energies, not all zero."""
    multiples = itertools.product(range(9), repeat=len(steps))
    return tuple(np.unique(np.round([np.dot(m, steps) for m in multiples], 9))[1:5])


def mixing(*hidden):
    return Network.random((2, *hidden, 1), "tanh", rng=1, weight_std=1.5, bias_std=0.5)


def kkl(density):
    modes = nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 4.0), 6)
    return Theory(nnqm.KarhunenLoeveProcess(modes, density))


def well():
    """The Poeschl-Teller well V - E_0 = 9/2 - 6/cosh(x)^2, whose first gap is 5/2."""
    return nnqm.GroundStateNetwork(Network([[[2.0]], [[3.0]]], activation="softplus"), even=True)


def wave_network(**options):
    return nnqm.RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, bias_std=0.5, **options)


CASES = {
    "oscillator": lambda: Case(nnqm.harmonic_oscillator(1.5, mass=2.0, hbar=0.7), sums(0.7 * 1.5)),
    "free-inputs": lambda: Case(Theory(OrnsteinUhlenbeck([1.0, 1.7])), sums(1.0, 1.7)),
    "linear": lambda: Case(Theory(TWO, Network([[[1.0, 1.0]]], activation=["identity"])), sums(0.5, 5.0)),
    "monotonic": lambda: Case(Theory(OrnsteinUhlenbeck(1.5), Network([[[1.0]], [[1.0]]])), sums(1.5)),
    "relu": lambda: Case(
        Theory(OrnsteinUhlenbeck(1.5), Network([[[1.0]], [[1.0]]], [[0.5], [0.0]], activation="relu")), sums(1.5)
    ),
    "deep": lambda: Case(Theory(TWO, mixing(8, 8)), sums(0.5, 5.0)),
    "hamiltonian": lambda: Case(Theory(nnqm.GroundStateProcess(ANHARMONIC)), tuple(ANHARMONIC.gaps(4))),
    "psi-network": lambda: Case(Theory(well()), (2.5,)),
    "mixed": lambda: Case(
        Theory([nnqm.GroundStateProcess(ANHARMONIC), OrnsteinUhlenbeck(8.0, 3.0)], mixing(8)),
        tuple(sorted([*ANHARMONIC.gaps(2), ANHARMONIC.gaps(3)[2], 8.0]))[:4],
    ),
    "random": lambda: Case(nnqm.builtin_theory("random-tanh"), sums(1.0)),
    "thermal": lambda: Case(Theory(nnqm.ThermalOrnsteinUhlenbeck(1.5, beta=3.0)), sums(1.5)),
    "thermal-well": lambda: Case(Theory(nnqm.ThermalProcess(ANHARMONIC, beta=1.0)), tuple(ANHARMONIC.gaps(4))),
    "chain": lambda: Case(
        Theory(nnqm.MarkovChain([0.0, 1.0, 3.0], [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]], 0.1)),
        tuple(-np.log([0.9, 0.7]) / 0.1),
    ),
    "time": lambda: Case(nnqm.TimeNetwork("tanh", bias_std=0.5, width=16).theory()),
    "cosines": lambda: Case(nnqm.CosineNetwork(nnqm.Density("cauchy"), width=2).theory()),
    "split-time": lambda: Case(Theory(nnqm.Times(reflected=True), wave_network(shared=[True, False]))),
    "kkl": lambda: Case(kkl("gaussian")),
    "kkl-laplace": lambda: Case(kkl("laplace")),
    "kkl-split": lambda: Case(nnqm.split_network(nnqm.Kernel.matern(1.5), 2.0, 10, "uniform")),
    "periodic-box": lambda: Case(Theory(PeriodicBox(1.0, 4))),
    "pointwise": lambda: Case(Theory(PeriodicBox(1.0, 4), pointwise(FUNCTION, 4))),
    "rp-net": lambda: Case(Theory(ReflectionPositiveNet(2, 1.0, 2, cutoff=20.0, points=POINTS))),
    "cos-net": lambda: Case(Theory(CosNet(2, 1.0, 5, regulator=Regulator("gaussian", 10.0), points=POINTS))),
    "cutoff-cos-net": lambda: Case(
        Theory(CosNet(2, 1.0, 2, regulator=Regulator("hard", 50.0, spatial=True), points=POINTS))
    ),
}
VERDICTS = {"yes": (Verdict.HOLDS,), "no": (Verdict.FAILS, Verdict.VIOLATED)}
BETA = {"thermal": 3.0, "thermal-well": 1.0}


def measure(theory):
    """The exact two-point function of a theory; of random weights, of the first draw."""
    if isinstance(theory.network, nnqm.RandomNetwork):
        theory = Theory(theory.sources, nnqm.draw_weights(theory, 8, rng=1)[0])
    return nnqm.kallen_lehmann(theory) if theory.period is None else nnqm.thermal_measure(theory)


def has_memory(theory):
    """Whether P(x(2) = 0 | x(1) = 0, x(0) = 0) differs from P(x(2) = 0 | x(1) = 0), exactly."""
    at_zero = [lambda c: (c[..., 1] <= 0).astype(float)]
    three, two, one = (float(nnqm.n_point(theory, 0.5 * np.arange(k), functions=at_zero * k)) for k in (3, 2, 1))
    return abs(three / two - two / one) > 1e-3


def is_gaussian(row, theory, exact=None):
    """Whether the connected four-point function vanishes at equal times; ``exact`` is the measure of the theory."""
    source = theory.sources[0]
    if row in ("time", "split-time"):
        # For given hidden weights x is Gaussian; its variance differs from draw to draw, so that the mixture is not.
        hidden = [np.tanh(n.weights[0][:, 0] + n.biases[0]) for n in nnqm.draw_weights(theory, 2, rng=1)]
        return np.isclose(*(np.sum(h**2) for h in hidden))
    if row == "cosines":
        return abs(nnqm.CosineNetwork(nnqm.Density("cauchy"), width=2).connected_four_point(np.zeros(4))) < 1e-9
    if row.startswith("kkl"):
        return bool(abs(source.kurtosis(1.5)) < 1e-9)
    if row == "pointwise":
        spread = np.sqrt(source.variance[0])
        exact = measure(Theory(OrnsteinUhlenbeck(1.0, spread * np.sqrt(2.0)), FUNCTION))
    elif theory.of_field:
        four = nnqm.fields.n_point(source, [[0.0, 0.0], [0.3, 0.0], [0.5, 0.5], [1.0, 0.0]])
        return bool(np.isclose(four.value, four.wick, rtol=1e-9))
    return abs(exact.kurtosis) < 1e-9


def commutator_of(row, theory, exact):
    """The entry of the column "[x, p]" that exact functions give."""
    if theory.sources[0].step is not None:
        return "discrete time"
    if row == "cosines":
        epsilon = np.array([1e-4, 1e-3, 0.1])
        kernel = nnqm.CosineNetwork(nnqm.Density("cauchy"), width=2)
        oscillator = measure(Theory(OrnsteinUhlenbeck(1.0, np.sqrt(2.0))))
        same = np.allclose(2 - 2 * kernel(0.0, epsilon), oscillator.quadratic_variation(epsilon), rtol=1e-8)
        return "as the oscillator" if same else "unknown"
    if not theory.stationary:
        # Increments of twice the distance are four times as large: paths are smooth.
        x = nnqm.sample_paths(theory, 1000, times=1.0 + 1e-3 * np.arange(3), rng=1, precision="float64")[..., 0]
        near, far = (np.mean((x[:, k] - x[:, 0]) ** 2) for k in (1, 2))
        return "none" if abs(far / near - 4) < 0.02 else "unknown"
    spread = getattr(exact, "commutator_spread", None)
    if spread is not None and spread > 1.001:
        return "operator" if np.isfinite(exact.momentum_squared) else "operator, kinked"
    return "iħ" if abs(exact.commutator - 1) < 1e-9 else "c-number"


def check_spectrum(row, case, entry):
    """Check the levels of a theory of quantum mechanics against the entry of the column "spectrum"."""
    theory, levels = case
    if entry == "none":
        assert not levels
        with pytest.raises(InputError):
            nnqm.kallen_lehmann(theory)
        return
    if row == "thermal":
        times, beta = np.linspace(0, 3, 7), BETA[row]
        found = nnqm.thermal_measure(theory).connected(times)
        assert np.allclose(found / found[0], np.cosh(1.5 * (beta / 2 - times)) / np.cosh(1.5 * beta / 2))
    elif row == "thermal-well":
        times, beta = np.linspace(0.1, 0.9, 5), BETA[row]
        energies, x = ANHARMONIC.energies(24), np.real(ANHARMONIC.matrix("x", 24))
        weights = np.exp(-beta * (energies - energies[0]))
        gaps = energies[None, :] - energies[:, None]
        sums_of_states = [(weights[:, None] * np.exp(-t * gaps) * x**2).sum() / weights.sum() for t in times]
        assert np.allclose(nnqm.thermal_measure(theory).connected(times), sums_of_states, rtol=1e-6)
        assert np.allclose(sums_of_states, sums_of_states[::-1], rtol=1e-6)
    else:
        assert np.allclose(nnqm.level_energies(theory, len(levels))[0], levels, rtol=1e-7)
    if "plateau" in entry:
        average = nnqm.average_over_weights(theory, nnqm.draw_weights(theory, 8 * 100, rng=1), [0.0, 50.0])
        assert average.plateau.value > 5 * average.plateau.error
        assert np.isclose(average.two_point.value[1], average.plateau.value)


def prove(row, cells, case):
    """Check each entry of a row of quantum mechanics for one theory."""
    theory = case.theory
    found = nnqm.check(theory, rng=1, n_paths=5000)
    assert found["reflection positivity"].verdict in VERDICTS[cells["positive"]]
    if row == "relu":
        assert has_memory(theory) == (cells["Markov"] == "no")
    else:
        assert found["Markov property"].verdict in VERDICTS[cells["Markov"]]
    exact = measure(theory) if theory.stationary else None
    assert is_gaussian(row, theory, exact) == (cells["Gaussian"] == "yes")
    assert commutator_of(row, theory, exact) == cells["[x, p]"]
    check_spectrum(row, case, cells["spectrum"])


QUANTUM_MECHANICS = [row for row, cells in ROWS.items() if "Markov" in cells]
FIELDS = [row for row, cells in ROWS.items() if "Markov" not in cells]


def marked(rows):
    """Rows as parameters of a test; the ones that take long are marked."""
    long = ("relu", "psi-network", "thermal-well", "cutoff-cos-net")
    return [pytest.param(row, marks=[pytest.mark.slow] if row in long else []) for row in rows]


def test_every_row_has_a_theory():
    assert set(ROWS) == set(CASES)
    assert (len(QUANTUM_MECHANICS), len(FIELDS)) == (19, 5)


@pytest.mark.slow
@pytest.mark.parametrize("row", marked(QUANTUM_MECHANICS))
def test_row_of_quantum_mechanics(row):
    prove(row, ROWS[row], CASES[row]())


@pytest.mark.slow
@pytest.mark.parametrize("row", marked(FIELDS))
def test_row_of_fields(row):
    cells, theory = ROWS[row], CASES[row]().theory
    field = theory.sources[0]
    assert nnqm.check(theory, rng=1, n_paths=2000)["reflection positivity"].verdict in VERDICTS[cells["positive"]]
    assert is_gaussian(row, theory) == (cells["Gaussian"] == "yes")
    frequencies = np.sqrt(1 + (2 * np.sin(np.pi * np.array([0, 1, 2, 3]) / 4)) ** 2)
    if row in ("periodic-box", "pointwise"):
        assert np.allclose(nnqm.level_energies(theory, 4)[0], sums(*frequencies))
    else:
        certificate = nnqm.positivity_certificate(lambda t: field.propagator(t, [0.0]), dt=0.05)
        mixture = certificate.verdict is not Verdict.VIOLATED
        assert mixture == (cells["spectrum"] != "none")


@pytest.mark.parametrize("row", ["oscillator", "monotonic", "kkl"])
def test_the_entries_of_other_rows_are_refused(row):
    # Negative control: the theory of the row before, with the entries of this row.
    other = QUANTUM_MECHANICS[QUANTUM_MECHANICS.index(row) - 1]
    with pytest.raises((AssertionError, InputError)):
        prove(row, ROWS[row], CASES[other]())
