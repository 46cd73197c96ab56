"""Numbers of levels, completeness of the default observables, rare events, continua and multiplets."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent
from nnqm.sampling.product_basis import ascending, lowest_missing
from nnqm.spectra.gevp import Matrices, solve
from nnqm.spectra.levels import Level, Spectrum
from nnqm.spectra.rare_events import expected_norm_errors
from test_levels import exact_correlators

THREE = nnqm.Theory(nnqm.OrnsteinUhlenbeck([0.652, 0.52, 1.053]))


def ground_state(potential):
    return nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian(potential)))


def run_of(theory, n_paths=20_000, dt=None, seed=1, **settings):
    step = min(s.natural_step for s in theory.sources) if dt is None else dt
    measure = nnqm.Measure(lags=(), increment_lags=(), **settings)
    return nnqm.simulate(theory, n_paths, 64, step, rng=seed, measure=measure)


@pytest.mark.slow
def test_the_vector_of_the_core_is_that_of_evaluate():
    theory = nnqm.Theory(
        [nnqm.OrnsteinUhlenbeck([0.7, 1.3]), nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 1, 0, 1]))]
    )
    chosen = nnqm.default_observables(theory, order=4, neurons=3, products=9)
    assert len(chosen.products) == 9
    settings = {"rng": 3, "precision": "float64"}
    run = nnqm.simulate(theory, 640, 8, 0.2, measure=nnqm.Measure(observables=chosen, observable_lags=(1,)), **settings)
    paths = nnqm.sample_paths(theory, 640, 8, 0.2, **settings)
    vectors = chosen.evaluate(paths.reshape(-1, 3)).reshape(640, 8, -1)
    assert vectors.shape[-1] == chosen.size == len(chosen.labels) == len(chosen.powers)
    early, late = vectors[:, :-1], vectors[:, 1:]
    expected = np.einsum("pti,ptj->ij", early, late), np.einsum("pti,ptj->ij", early, early)
    np.testing.assert_allclose(run.sums["observable_lags"].sum(axis=0)[0, 0], expected[0], rtol=1e-9, atol=1e-7)
    same = expected[1] + np.einsum("pti,ptj->ij", late, late)
    np.testing.assert_allclose(run.sums["observable_lags"].sum(axis=0)[0, 1], same, rtol=1e-9, atol=1e-7)
    # The same sums for any number of threads, and paths of one's own give them too.
    again = nnqm.simulate(
        theory, 640, 8, 0.2, n_threads=2, measure=nnqm.Measure(observables=chosen, observable_lags=(1,)), **settings
    )
    assert np.array_equal(again.sums["observable_lags"], run.sums["observable_lags"])
    assert type(chosen).from_dict(chosen.to_dict()) == chosen


def test_products_are_orthonormal_over_independent_inputs():
    chosen = nnqm.default_observables(THREE)
    node, weight = np.polynomial.hermite_e.hermegauss(12)
    grid = np.stack(np.meshgrid(node, node, node, indexing="ij"), axis=-1).reshape(-1, 3)
    law = np.einsum("i,j,k->ijk", weight, weight, weight).ravel() / weight.sum() ** 3
    vectors = chosen.evaluate(chosen.shift + chosen.scale * grid)
    np.testing.assert_allclose((vectors.T * law) @ vectors, np.eye(chosen.size), atol=2e-4)


def test_sums_of_ladders_ascend():
    steps = [[0.0, 1.0, 2.5], [0.0, 0.7, 1.4, 2.1], [0.0, 3.0]]
    found = list(ascending(steps))
    every = sorted(a + b + c for a in steps[0] for b in steps[1] for c in steps[2])
    np.testing.assert_allclose([energy for energy, _ in found], every, atol=1e-9)
    assert len({powers for _, powers in found}) == len(every)
    assert lowest_missing(steps, {(1, 0, 0), (0, 1, 0), (0, 2, 0)}) == pytest.approx(1.7)


@pytest.mark.slow
def test_several_inputs_skip_no_level():
    # 0.52 + 0.652 is the fifth level, and is seen in products only.
    found = nnqm.spectrum(run_of(THREE, 50_000, 0.2), 5)
    exact = nnqm.level_energies(THREE, 12)[0]
    assert found.gaps
    for level in found.levels:
        assert level.resolved
        assert not level.at_least
        assert_consistent(level.gap, float(np.mean(exact[level.number - 1 : level.until])))
    assert found.levels[-1].until >= 5


@pytest.mark.slow
def test_levels_without_products_are_at_least_the_nth():
    chosen = nnqm.default_observables(THREE, products=0)
    run = run_of(THREE, 50_000, 0.2, observables=chosen)
    found = nnqm.spectrum(run, 6)
    skipped = [level for level in found.levels if level.resolved and float(level.gap.value) > 1.2]
    assert skipped
    assert all(level.at_least for level in skipped)
    assert "level, at least the " in str(found)
    assert "an upper bound only" in str(found)
    assert not found.levels[0].at_least
    report = nnqm.analyse(run)
    named = [row for row in report if row.quantity.startswith("level, at least the ")]
    assert named
    assert all(row.caveat == "an upper bound only" and row.exact is None for row in named)


@pytest.mark.slow
def test_paths_without_a_theory_say_what_they_count():
    paths = nnqm.sample_paths(THREE, 4000, 64, 0.2, rng=1)
    several, one = (nnqm.spectrum(nnqm.accumulate(x, 0.2), 2) for x in (paths, paths[:, :, 0]))
    assert all(level.at_least for level in several.levels if level.resolved)
    assert not any(level.at_least for level in one.levels)
    for found in (several, one):
        assert "levels are counted among the states that these functions of the paths show" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("potential", "most"),
    [
        (lambda x: 10 * (1 - np.exp(-x)) ** 2, 1),
        (lambda x: 10 * (1 - np.exp(-x / 2)) ** 2, 2),
        (lambda x: -10 / np.cosh(x) ** 2, 2),
        (lambda x: -3 / np.cosh(x) ** 2, 1),
        (lambda x: -4 * np.exp(-(x**2) / 2), 1),
    ],
    ids=["Morse", "wide Morse", "Poeschl-Teller", "shallow", "Gaussian"],
)
def test_wells_with_a_continuum(potential, most):
    theory = ground_state(potential)
    exact = theory.sources[0].hamiltonian.gaps(most)
    resolved = []
    for seed in range(3):
        found = nnqm.spectrum(run_of(theory, seed=seed), 6)
        resolved.append(len(found.gaps))
        for n, gap in zip(found.numbers, found.gaps, strict=True):
            assert_consistent(gap, exact[n - 1])
    assert 1 <= max(resolved) <= most


@pytest.mark.slow
def test_nothing_above_the_last_bound_state_is_resolved():
    theory = ground_state(lambda x: -3 / np.cosh(x) ** 2)
    found = nnqm.spectrum(run_of(theory, 100_000), 3)
    assert found.levels[1].verdict == "continuum"
    assert "the continuum begins there" in str(found.advice)


@pytest.mark.slow
def test_errors_of_norms_are_foreseen():
    theory = nnqm.harmonic_oscillator()
    run = run_of(theory, 50_000, 0.2)
    foreseen = expected_norm_errors(run, 3)
    matrices = Matrices.of(run)
    measured = solve(matrices, -1, matrices.usable, 0).measured_norm_errors[:2]
    np.testing.assert_allclose(measured, foreseen[:2], rtol=0.25)
    # The square of h_1 decays with the rate 2, and its variance is 2: a sum over pairs of times.
    apart = np.abs(np.subtract.outer(np.arange(64), np.arange(64)))
    assert foreseen[0] == pytest.approx(np.sqrt(2 * np.exp(-2 * 0.2 * apart).mean() / 50_000), rel=1e-3)
    # One path in four: twice the error.
    np.testing.assert_allclose(expected_norm_errors(run_of(theory, 12_500, 0.2), 3), 2 * foreseen, rtol=1e-2)
    assert expected_norm_errors(nnqm.accumulate(np.zeros((64, 8)) + np.arange(8), 0.2), 3) is None


@pytest.mark.slow
def test_an_unresolved_level_keeps_its_number():
    # The tunnelling level does not decay within these paths.
    theory = ground_state([6.25 * 2, 0.0, -5.0 * 2, 0.0, 2.0])
    run = run_of(theory, 20_000)
    found = nnqm.spectrum(run, 4)
    assert found.levels[0].verdict == "plateau"
    assert found.levels[0].number == 1
    assert found.numbers[0] == 2
    exact = theory.sources[0].hamiltonian
    assert_consistent(
        found.gaps[0], float(np.mean(exact.gaps(3)[1:3])) if found.levels[1].until > 2 else exact.gaps(2)[1]
    )
    assert "gap 1 " not in str(found)
    notes = nnqm.analyse(run).notes
    assert any("E_2" in note and "E_1" not in note for note in notes)


@pytest.mark.slow
def test_more_levels_do_not_change_the_first():
    run = run_of(nnqm.builtin_theory("double-well"), 20_000)
    few, many = nnqm.spectrum(run, 2), nnqm.spectrum(run, 9)
    for a, b in zip(few.levels, many.levels, strict=False):
        assert float(a.gap.value) == float(b.gap.value)
        assert float(a.gap.error) == float(b.gap.error)
        assert a.verdict == b.verdict
    assert few.t0 == many.t0


@pytest.mark.slow
def test_near_levels_do_not_chain():
    gaps = [1.0 + 0.133 * n for n in range(6)]
    for noise in (2e-2, 1e-7):
        run, _ = exact_correlators(gaps, relative_noise=noise)
        levels = [level for level in nnqm.spectrum(run, 6).levels if level.resolved]
        assert levels
        assert all(level.multiplicity <= 2 for level in levels)
    equal, _ = exact_correlators([1.0] * 5 + [3.0], relative_noise=1e-4)
    assert nnqm.spectrum(equal, 2).levels[0].multiplicity == 5


@pytest.mark.slow
def test_default_observables_represent_the_lowest_levels_of_wells():
    # Variational levels of the exact process in the span of the observables, without any sampling.
    for potential in ([4, 0.1, -4, 0, 1], [4.0, 0.4, -4.0, 0.0, 1.0], [0, 0, 0.5, 0, 1]):
        theory = ground_state(potential)
        points, states, gaps = theory.sources[0].hamiltonian.eigenbasis()
        overlap = (nnqm.default_observables(theory).evaluate(points[:, None])[:, 1:].T * states[:, 0]) @ states[:, 1:]
        overlap /= np.linalg.norm(overlap, axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(overlap @ overlap.T)
        kept = values > 1e-8 * values[-1]
        white = (vectors[:, kept] / np.sqrt(values[kept])).T @ overlap
        found = -np.log(np.linalg.eigvalsh((white * np.exp(-0.1 * gaps[1:])) @ white.T)[::-1][:5]) / 0.1
        np.testing.assert_allclose(found, gaps[1:6], rtol=2e-3)


def test_names_of_levels():
    names = [
        Level(None, None, 1, nnqm.Verdict.NOISE, number=n, until=n, at_least=True).name for n in (1, 2, 3, 4, 11, 22)
    ]
    assert [name.split()[-1] for name in names] == ["1st", "2nd", "3rd", "4th", "11th", "22nd"]
    assert Level(None, None, 2, nnqm.Verdict.NOISE, number=2, until=3).name == "gaps 2 to 3"
    # Levels of other methods are counted one by one.
    plain = Spectrum((Level(None, None, 1, nnqm.Verdict.NOISE),) * 2, 0, 1, None, None)
    assert [level.number for level in plain.levels] == [1, 2]
