"""Networks of one input as tables of polynomials: the same physics, told apart wherever bits matter."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent

JOB = {"n_times": 12, "dt": 0.1, "rng": 5, "measure": nnqm.Measure(lags=(0, 1, 4), observable_lags=(1,))}


def theory(activation: str = "tanh", widths: tuple[int, ...] = (1, 16, 1)) -> nnqm.Theory:
    network = nnqm.Network.random(widths, activation, rng=3, weight_std=1.5, bias_std=0.5)
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_tables_are_the_default_and_change_rounding_only(precision: str) -> None:
    run = nnqm.simulate(theory(), 1280, precision=precision, **JOB)
    direct = nnqm.simulate(theory(), 1280, precision=precision, compiled=False, **JOB)
    assert run.compiled
    assert not direct.compiled
    assert nnqm.simulate(theory(), 1280, precision=precision, compiled=True, **JOB) == run
    scale = np.abs(direct.sums["lags"]).max()
    difference = np.abs(run.sums["lags"] - direct.sums["lags"]).max() / scale
    assert 0 < difference < (1e-6 if precision == "float32" else 1e-13)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_stages_give_the_bits_of_the_run(compiled: bool, precision: str) -> None:
    job = {**JOB, "measure": nnqm.Measure(lags=(0, 1, 4), observable_lags=(1,), two_time=True)}
    run = nnqm.simulate(theory(), 64, precision=precision, compiled=compiled, n_blocks=1, **job)
    y = nnqm.sample_paths(theory(), 64, 12, 0.1, key=run.keys[0], precision=precision, channels="y")
    x = nnqm.apply(theory().network, y, compiled=compiled)
    both = np.concatenate([y, x], axis=2)
    twice = nnqm.accumulate(np.concatenate([both, both]), 0.1, theory=theory(), n_blocks=2, measure=job["measure"])
    assert all(np.array_equal(run.sums[name][0], twice.sums[name][0]) for name in run.sums)


@pytest.mark.slow
def test_extending_and_merging_keep_to_one_way() -> None:
    part = nnqm.simulate(theory(), 640, n_blocks=4, **JOB)
    direct = nnqm.simulate(theory(), 640, n_blocks=4, compiled=False, **JOB)
    assert nnqm.extend(part, 1280) == nnqm.simulate(theory(), 1280, n_blocks=4, **JOB)
    assert nnqm.extend(direct, 1280) == nnqm.simulate(theory(), 1280, n_blocks=4, compiled=False, **JOB)
    other = nnqm.simulate(theory(), 640, n_blocks=4, compiled=False, **{**JOB, "rng": 6})
    with pytest.raises(ValueError, match="compiled"):
        nnqm.merge([part, other])


@pytest.mark.slow
def test_files_remember_it(tmp_path: object) -> None:
    run = nnqm.simulate(theory(), 640, **JOB)
    loaded = nnqm.load(nnqm.save(run, f"{tmp_path}/run.nc"))
    assert loaded.compiled
    assert loaded == run


def test_networks_without_a_table_are_evaluated_directly() -> None:
    two_inputs = nnqm.Network.random((2, 16, 1), "tanh", rng=1)
    cases = [
        theory("relu"),
        nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), two_inputs),
        nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 16, 1))),
        nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0)),
    ]
    for case in cases:
        assert not nnqm.simulate(case, 640, **JOB).compiled
        with pytest.raises(ValueError, match=r"compiled=True needs .* leave compiled out"):
            nnqm.simulate(case, 640, compiled=True, **JOB)
    with pytest.raises(ValueError, match="compiled=True"):
        nnqm.apply(two_inputs, np.zeros((3, 4, 2)), compiled=True)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_increments_at_the_smallest_steps(precision: str) -> None:
    """E f'^2 from steps far below the width of a cell, where errors of a table would show first."""
    deep = theory(widths=(1, 32, 32, 1))
    run = nnqm.simulate(
        deep,
        20_000,
        16,
        1e-4,
        rng=2,
        precision=precision,
        measure=nnqm.Measure(observable_lags=(), lags=(0,), increment_lags=(1, 2)),
    )
    direct = nnqm.simulate(
        deep,
        20_000,
        16,
        1e-4,
        rng=2,
        precision=precision,
        compiled=False,
        measure=nnqm.Measure(observable_lags=(), lags=(0,), increment_lags=(1, 2)),
    )
    assert run.compiled
    # The same paths, so that only the table tells the two apart.
    ratio = nnqm.commutator_at_lags(run).value / nnqm.commutator_at_lags(direct).value
    assert np.abs(ratio - 1).max() < (1e-4 if precision == "float32" else 1e-9)
    exact = nnqm.kallen_lehmann(deep)
    lags = np.array([1, 2]) * run.dt
    connected = exact.connected(np.array([0.0, *lags]))
    expected = 2 * (connected[0] - connected[1:]) / lags
    assert_consistent(nnqm.commutator_at_lags(run), expected)
