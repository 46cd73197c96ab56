"""Ground-state processes of Hamiltonians: sampled against the Schroedinger side."""

import itertools

import numpy as np
import pytest
from scipy import integrate, stats

import nnqm
from harness import accept, assert_consistent, assert_inconsistent, refute
from interpreter import answer


@pytest.fixture(scope="module")
def quartic():
    return nnqm.Hamiltonian([0.0, 0.0, 0.5, 0.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_the_anharmonic_oscillator_has_its_exact_correlators(quartic, precision):
    theory = nnqm.Theory(nnqm.GroundStateProcess(quartic))
    lags = [0, 1, 2, 4, 8, 12]
    run = nnqm.simulate(theory, 40_000, 64, 0.15, rng=2, precision=precision, measure=nnqm.Measure(lags=lags))
    exact = quartic.spectral_measure()
    assert_consistent(run.connected(), exact.connected(0.15 * np.array(lags)))
    assert_inconsistent(run.connected(), nnqm.Hamiltonian([0, 0, 0.5, 0, 1.1]).connected(0.15 * np.array(lags)))
    assert_consistent(run.kurtosis(), exact.kurtosis)
    gaps = nnqm.spectrum(run, 3).gaps
    for gap, energy in zip(gaps, quartic.gaps(3), strict=True):
        assert_consistent(gap, energy)


def test_paths_are_distributed_as_the_squared_wave_function(quartic):
    theory = nnqm.Theory(nnqm.GroundStateProcess(quartic, n_grids=16))
    # One point of each path, long after the start.
    x = nnqm.sample_paths(theory, 40_000, 9, 0.5, rng=3, precision="float64")[:, -1, 0]
    edges = np.array([-np.inf, -0.9, -0.5, -0.2, 0.0, 0.2, 0.5, 0.9, np.inf])
    counts = np.histogram(x, edges)[0]

    def share(a, b):
        return integrate.quad(lambda s: float(quartic.density(0, s)), max(a, -6.0), min(b, 6.0))[0]

    expected = len(x) * np.array([share(a, b) for a, b in itertools.pairwise(edges)])
    # Bins cut cells of the grid: sixteen grids leave an error of a sixteenth of a cell, below the noise.
    accept(stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue, "counts do not follow the density")
    wrong = np.roll(expected, 1)
    refute(stats.chisquare(counts, wrong * counts.sum() / wrong.sum()).pvalue, "counts follow a wrong density")


@pytest.mark.slow
def test_a_network_on_a_double_well():
    wells = nnqm.Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1.0], mass=1.0)
    network = nnqm.Network([[[0.8], [-0.5]], [[1.0, 0.7]]], [[0.1, 0.4], [0.0]], "tanh")
    theory = nnqm.Theory(nnqm.GroundStateProcess(wells), network)
    run = nnqm.simulate(theory, 30_000, 64, 0.1, rng=4, measure=nnqm.Measure(lags=[0, 1, 3, 9, 27]))
    exact = wells.spectral_measure(lambda x: network(x[:, None])[:, 0])
    assert_consistent(run.connected("x"), exact.connected(0.1 * np.array(run.lags)))
    assert_consistent(run.mean("x"), exact.mean)
    assert_consistent(nnqm.spectrum(run, 1, channel="x").gaps[0], wells.gaps(1)[0])


@pytest.mark.slow
def test_kinked_observables_do_not_see_the_grids(quartic):
    network = nnqm.Network([[[1.0]], [[1.0]]], [[-0.3], [0.0]], "relu")
    theory = nnqm.Theory(nnqm.GroundStateProcess(quartic, n_grids=16), network)
    run = nnqm.simulate(theory, 64_000, 32, 0.2, rng=5, measure=nnqm.Measure(lags=[0]))
    mean = integrate.quad(lambda s: (s - 0.3) * float(quartic.density(0, s)), 0.3, 6.0)[0]
    assert_consistent(run.mean("x"), mean)


@pytest.mark.slow
def test_it_feeds_a_network_beside_other_sources(quartic):
    network = nnqm.Network([[[1.0, 0.5]]], activation=["identity"])
    theory = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), nnqm.GroundStateProcess(quartic)], network)
    run = nnqm.simulate(theory, 40_000, 32, 0.2, rng=6, measure=nnqm.Measure(lags=[0, 1, 4]))
    t = 0.2 * np.array(run.lags)
    assert_consistent(run.connected("x"), 0.5 * np.exp(-t) + 0.25 * quartic.connected(t))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anharmonic", "double-well"])
def test_the_report_of_the_built_in_potentials(name):
    report = nnqm.analyse(nnqm.simulate(nnqm.builtin_theory(name), 30_000, 128, 0.1, rng=7))
    compared = [row for row in report if row.pull is not None]
    assert len(compared) >= 12
    for row in compared:
        assert_consistent(row.estimate, row.exact)
    assert report.details["positivity"].verdict == "consistent"
    hamiltonian = nnqm.builtin_theory(name).sources[0].hamiltonian
    assert f"E_0 of the Hamiltonian = {hamiltonian.energies(1)[0]:.8g}" in report.notes[-1]


@pytest.mark.slow
def test_bits_and_files(quartic, tmp_path):
    theory = nnqm.Theory(nnqm.GroundStateProcess(quartic))
    runs = [nnqm.simulate(theory, 3000, 16, 0.2, rng=8, n_threads=n) for n in (1, 3)]
    assert runs[0] == runs[1]
    again = nnqm.load(nnqm.save(runs[0], tmp_path / "quartic.nc"))
    assert again == runs[0]
    assert again.theory == theory
    assert nnqm.extend(again, 5000) == nnqm.simulate(theory, 5000, 16, 0.2, rng=8, n_blocks=runs[0].n_blocks)


OTHER_BLAS = """
import hashlib, nnqm, numpy as np
theory = nnqm.builtin_theory("double-well")
x = nnqm.sample_paths(theory, 2000, 64, 0.1, rng=1, precision="float64")
source = theory.sources[0]
print(hashlib.sha256(x.tobytes()).hexdigest(), source.mean[0].hex(), source.variance[0].hex())
"""


@pytest.mark.slow
def test_paths_have_the_same_bits_with_another_blas():
    # OpenBLAS has kernels for each processor, which round differently; other libraries do not know the variable.
    answers = []
    for processor in ("Prescott", "Haswell"):
        answers.append(answer(OTHER_BLAS, OPENBLAS_CORETYPE=processor, OPENBLAS_NUM_THREADS="1"))
    assert answers[0] == answers[1]
    assert len(answers[0].split()) == 3


@pytest.mark.slow
def test_a_function_comes_back_as_a_table(tmp_path):
    theory = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(lambda x: x**2 / 2 + x**4)))
    run = nnqm.simulate(theory, 2000, 16, 0.2, rng=9)
    again = nnqm.load(nnqm.save(run, tmp_path / "function.nc"))
    assert "table" in repr(again.theory)
    np.testing.assert_allclose(again.theory.sources[0].hamiltonian.gaps(3), [1.934122, 4.375521, 7.138635], atol=2e-6)


def test_hbar_and_mass_are_those_of_the_hamiltonian():
    heavy = nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 1.0], mass=2.0, hbar=0.5))
    theory = nnqm.Theory(heavy)
    assert (theory.hbar, theory.mass) == (0.5, 2.0)
    with pytest.raises(ValueError, match="mass must equal the value of the Hamiltonians"):
        nnqm.Theory(heavy, mass=1.0)
    with pytest.raises(ValueError, match="hbar must equal the value of the Hamiltonians"):
        nnqm.Theory([heavy, nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 1.0], mass=2.0))])
    with pytest.raises(TypeError, match="must be a Hamiltonian"):
        nnqm.GroundStateProcess([0, 0, 1.0])


@pytest.mark.slow
def test_a_process_over_a_continuum_says_so():
    well = nnqm.GroundStateProcess(nnqm.Hamiltonian(lambda x: -1 / np.cosh(x) ** 2))
    # One level is bound, at -1/2.
    assert well.natural_step == pytest.approx(0.8)
    report = nnqm.analyse(nnqm.simulate(nnqm.Theory(well), 8000, 64, 0.4, rng=10))
    assert any("the continuum begins 0.5 above the ground state" in note for note in report.notes)
    for row in report:
        if row.pull is not None:
            assert_consistent(row.estimate, row.exact)
    assert report["gap 1"].exact is None


def test_wells_that_are_disconnected_are_refused_before_anything_is_sampled():
    wells = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian([6.0**4, 0, -72.0, 0, 1.0])))
    with pytest.raises(ValueError, match="wells are disconnected at double precision"):
        nnqm.simulate(wells, 640, 8, 0.05, rng=1)


def test_a_step_that_is_too_fine_is_refused(quartic):
    with pytest.raises(
        ValueError, match=r"dt=1e-07 is too fine: it needs \d+ states, more than 4000; use dt of at least"
    ):
        nnqm.simulate(nnqm.Theory(nnqm.GroundStateProcess(quartic)), 640, 8, 1e-7, rng=1)


def test_a_step_that_is_too_coarse_is_refused(quartic):
    with pytest.raises(ValueError, match="dt=40 is too coarse"):
        nnqm.simulate(nnqm.Theory(nnqm.GroundStateProcess(quartic)), 640, 8, 40.0, rng=1)


def test_a_theory_file_names_a_potential(tmp_path):
    path = tmp_path / "well.toml"
    path.write_text('mass = 0.5\n[[source]]\nkind = "ground-state"\npotential = [0.0, 0.0, 1.0, 0.0, 1.0]\n')
    theory = nnqm.load_theory_file(path).theory
    assert theory.mass == 0.5
    assert theory.sources[0].hamiltonian.energies(1)[0] == pytest.approx(1.392351641530291, abs=1e-10)
    path.write_text('[[source]]\nkind = "ground-state"\npotential = [0.0, 0.0, 1.0]\nomega = 1.0\n')
    with pytest.raises(ValueError, match="omega does not belong to a source of kind 'ground-state'"):
        nnqm.load_theory_file(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hamiltonian",
    [
        nnqm.Hamiltonian(lambda x: x**2 / 2 + (np.abs(x) < 0.1)),
        nnqm.Hamiltonian(lambda x: np.where(x > 0, x, np.inf)),
        nnqm.Hamiltonian(lambda x: 0 * x, domain=(0, 2)),
    ],
    ids=["step", "wall", "box"],
)
def test_runs_of_potentials_with_breaks_are_saved_with_their_exact_answers(hamiltonian, tmp_path):
    run = nnqm.simulate(nnqm.Theory(nnqm.GroundStateProcess(hamiltonian)), 2048, 24, 0.2, rng=3)
    nnqm.save(run, tmp_path / "run.nc")
    again = nnqm.load(tmp_path / "run.nc")
    assert again.theory == nnqm.Theory.from_dict(run.theory.to_dict())
    mine, theirs = nnqm.analyse(run), nnqm.analyse(again)
    assert [row.quantity for row in mine.rows] == [row.quantity for row in theirs.rows]
    assert [row.exact is None for row in mine.rows] == [row.exact is None for row in theirs.rows]
    exact = [(a.exact, b.exact) for a, b in zip(mine.rows, theirs.rows, strict=True) if a.exact is not None]
    assert len(exact) >= 2
    for value, copy in exact:
        np.testing.assert_allclose(copy, value, rtol=1e-8, atol=1e-10)
    longer, copy = nnqm.extend(run, 4096), nnqm.extend(again, 4096)
    assert longer.n_paths == copy.n_paths == 4096
    assert_consistent(copy.two_point()[[0, 1, 4]], hamiltonian.two_point([0.0, 0.2, 0.8]))
