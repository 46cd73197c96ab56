"""Seed processes: what they are made from, and Markov chains against their exact correlators."""

import pickle

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent


def walk(states=5, stay=0.6):
    """A reflecting walk with unequal rates: reversible, its law far from uniform."""
    up = np.linspace(0.3, 0.1, states - 1)
    transitions = np.diag(up, 1) + np.diag(np.linspace(0.1, 0.3, states - 1), -1)
    return transitions + np.diag(1 - transitions.sum(axis=1))


def exact(chain, function, lags):
    """Connected correlator by powers of the transition matrix, averaged over grids."""
    result = np.zeros(len(lags))
    f = [function(v) for v in chain.values]
    mean = np.mean([q @ g for q, g in zip(chain.law, f, strict=True)])
    for q, g, p in zip(chain.law, f, chain.transitions, strict=True):
        result += [q @ ((g - mean) * (np.linalg.matrix_power(p, k) @ (g - mean))) for k in lags]
    return result / len(chain.values)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_chain_has_its_exact_correlators(precision):
    chain = nnqm.MarkovChain([-2.0, -0.5, 0.1, 1.0, 4.0], walk(), dt=0.5)
    lags = [0, 1, 2, 3, 5, 8, 13, 21]
    run = nnqm.simulate(
        nnqm.Theory(chain), 40_000, 64, 0.5, rng=4, precision=precision, measure=nnqm.Measure(lags=lags)
    )
    connected = run.connected()
    assert_consistent(connected, exact(chain, lambda v: v, lags))
    assert_consistent(run.mean(), chain.mean[0])
    assert_consistent(run.moments()[0], chain.variance[0])
    assert_inconsistent(connected, exact(chain, lambda v: 1.02 * v, lags))


@pytest.mark.slow
def test_a_network_on_a_chain_and_a_process():
    chain = nnqm.MarkovChain([-1.0, 0.0, 1.5], walk(3), dt=0.2)
    network = nnqm.Network([[[1.0, 0.0], [0.0, 2.0]], [[1.0, 1.0]]], activation="tanh")
    theory = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0), chain], network)
    run = nnqm.simulate(theory, 40_000, 64, 0.2, rng=5, measure=nnqm.Measure(lags=[0, 1, 3, 8]))
    process = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="tanh"))
    of_process = nnqm.kallen_lehmann(process).connected(0.2 * np.array([0, 1, 3, 8]))
    assert_consistent(run.connected("x"), of_process + exact(chain, lambda v: np.tanh(2 * v), [0, 1, 3, 8]))


def test_two_grids_are_averaged():
    values = np.array([[-1.0, 0.0, 1.0], [-0.5, 0.5, 1.5]])
    chain = nnqm.MarkovChain(values, [walk(3), walk(3)[::-1, ::-1]], dt=1.0)
    run = nnqm.simulate(nnqm.Theory(chain), 40_000, 32, 1.0, rng=6, measure=nnqm.Measure(lags=[0, 1, 4]))
    assert_consistent(run.connected(), exact(chain, lambda v: v, [0, 1, 4]))


@pytest.mark.slow
def test_levels_of_a_chain_are_those_of_its_transition_matrix():
    chain = nnqm.MarkovChain([-2.0, -1.0, 0.0, 1.0, 2.0], walk(), dt=1.0)
    run = nnqm.simulate(nnqm.Theory(chain), 50_000, 64, 1.0, rng=7)
    eigenvalues = np.sort(np.linalg.eigvals(chain.transitions[0]).real)[::-1]
    gaps = nnqm.spectrum(run, 3).gaps
    assert len(gaps) == 3
    for n, gap in enumerate(gaps, start=1):
        assert_consistent(gap, -np.log(eigenvalues[n]))


@pytest.mark.slow
def test_float32_sums_of_few_values_have_no_direction():
    # 0.7 and 1.3 are no binary fractions: errors of a running sum would all have one sign. What the values themselves
    # lose in float32 is 6e-8, four times that in a fourth moment.
    chain = nnqm.MarkovChain([0.7, 1.3], [[0.9, 0.1], [0.1, 0.9]], dt=1.0)
    single, double = (
        nnqm.simulate(nnqm.Theory(chain), 64_000, 512, 1.0, rng=8, precision=p) for p in ("float32", "float64")
    )
    for a, b in ((single.connected(), double.connected()), (single.moments(), double.moments())):
        assert np.all(np.abs(a.value - b.value) < 0.02 * b.error + 5e-7 * np.abs(b.value))


@pytest.mark.slow
def test_bits_do_not_depend_on_threads_and_files_keep_the_chain(tmp_path):
    theory = nnqm.Theory(nnqm.MarkovChain([-1.0, 0.5, 2.0], walk(3), dt=0.3))
    runs = [nnqm.simulate(theory, 5000, 16, 0.3, rng=9, n_threads=n) for n in (1, 3)]
    assert runs[0] == runs[1]
    again = nnqm.load(nnqm.save(runs[0], tmp_path / "chain.nc"))
    assert again == runs[0]
    assert again.theory == theory
    assert nnqm.extend(again, 6000) == nnqm.simulate(theory, 6000, 16, 0.3, rng=9, n_blocks=runs[0].n_blocks)
    assert pickle.loads(pickle.dumps(theory)) == theory
    assert nnqm.analyse(again).details["positivity"].verdict == "consistent"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [[0.5, 0.5]], 1.0), "transitions must have shape"),
        (([0.0, 1.0], [[0.5, 0.6], [0.5, 0.5]], 1.0), "rows that sum to 1"),
        (([0.0, 1.0], [[1.5, -0.5], [0.5, 0.5]], 1.0), "must be probabilities"),
        (([0.0, 1.0, 2.0], [[0, 1, 0], [0, 0, 1], [1, 0, 0]], 1.0), "must be reversible"),
        (([0.0, np.nan], [[0.5, 0.5], [0.5, 0.5]], 1.0), "values must be finite"),
        (([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], 0.0), "dt must be positive"),
    ],
)
def test_what_is_no_chain_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        nnqm.MarkovChain(*arguments)


def test_a_chain_has_one_time_step():
    theory = nnqm.Theory(nnqm.MarkovChain([0.0, 1.0], [[0.5, 0.5], [0.5, 0.5]], dt=0.5))
    with pytest.raises(ValueError, match=r"dt must equal the step of the chain, 0\.5; got 0\.2"):
        nnqm.simulate(theory, 640, 8, 0.2, rng=1)
    with pytest.raises(ValueError, match="omega exists for Ornstein-Uhlenbeck sources only"):
        theory.omega  # noqa: B018
