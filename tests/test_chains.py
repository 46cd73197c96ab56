"""Markov chains: stationary laws, slow decays, several classes, eigenvalues that are zero or negative."""

import numpy as np
import pytest

import nnqm
from nnqm.errors import InputError
from nnqm.exact.energies import level_energies
from nnqm.exact.n_points import n_point
from nnqm.exact.spectral_measures import kallen_lehmann
from nnqm.exact.thermal_measures import thermal_measure


def theory(values, transitions, **law):
    return nnqm.Theory(nnqm.MarkovChain(values, transitions, 1.0, **law))


@pytest.mark.parametrize(
    "transitions",
    [np.eye(3), [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]], [[0.9, 0.1, 0], [0.1, 0.9, 0], [0, 0, 1]]],
    ids=["identity", "two absorbing states", "two classes"],
)
def test_a_chain_whose_law_is_not_unique_needs_it(transitions):
    with pytest.raises(InputError, match=r"stationary law must be unique; got a chain of . classes.*give law"):
        nnqm.MarkovChain([0.0, 1.0, 2.0], transitions, 1.0)


def test_the_identity_with_a_law_is_constant_in_time():
    measure = kallen_lehmann(theory([1.0, 2.0, 3.0], np.eye(3), law=[0.2, 0.3, 0.5]))
    np.testing.assert_allclose(measure.connected([0.0, 1.0, 50.0]), 0.61, rtol=1e-14)
    assert measure.commutator == 0
    assert level_energies(theory([1.0, 2.0, 3.0], np.eye(3), law=[0.2, 0.3, 0.5]), 2)[1] == ()


def test_transient_states_are_never_visited():
    chain = theory([0.0, 1.0, 7.0], [[0.6, 0.4, 0], [0.4, 0.6, 0], [0.2, 0.3, 0.5]])
    pair = theory([0.0, 1.0], [[0.6, 0.4], [0.4, 0.6]])
    assert chain.sources[0].law[0, 2] == 0
    for beta in (2.0, 6.0):
        a, b = (thermal_measure(t, beta=beta) for t in (chain, pair))
        np.testing.assert_allclose(a.connected([0.0, 1.0, 2.0]), b.connected([0.0, 1.0, 2.0]), rtol=1e-12)
    np.testing.assert_allclose(kallen_lehmann(chain).connected([0.0, 3.0]), [0.25, 0.25 * 0.2**3], rtol=1e-12)
    absorbed = theory([3.0, 1.0], [[1.0, 0.0], [0.5, 0.5]])
    assert (absorbed.sources[0].mean[0], absorbed.sources[0].variance[0]) == (3.0, 0.0)


def test_independent_draws_have_no_memory_and_no_level():
    fair = theory([-1.0, 1.0], [[0.5, 0.5], [0.5, 0.5]])
    measure = kallen_lehmann(fair)
    assert measure.connected([0.0, 1.0, 2.0]) == pytest.approx([1.0, 0.0, 0.0], abs=1e-14)
    assert np.isnan(measure.commutator)
    assert level_energies(fair, 3)[1] == ()
    # Eigenvalues 1, 0 and -1
    path = theory([0.0, 1.0, 2.0], [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    assert kallen_lehmann(path).connected([0.0, 1.0, 2.0]) == pytest.approx([0.5, 0.0, 0.0], abs=1e-14)
    assert n_point(path, [0.0, 1.0]) == pytest.approx(1.0)


@pytest.mark.parametrize("flip", [1e-3, 1e-9, 1e-12, 1e-17])
def test_slow_chains_have_all_digits(flip):
    slow = theory([0.0, 1.0], [[1 - flip, flip], [flip, 1 - flip]])
    assert slow.sources[0].law[0] == pytest.approx([0.5, 0.5], rel=1e-14)
    assert level_energies(slow, 1)[0][0] == pytest.approx(-np.log1p(-2 * flip), rel=1e-12)
    # A slow exchange beside a fast one
    three = [[0.5, 0.5, 0], [0.5, 0.5 - flip, flip], [0, flip, 1 - flip]]
    energies = level_energies(theory([0.0, 1.0, 2.0], three), 1)[0]
    mp = pytest.importorskip("mpmath")
    with mp.workdps(50):
        f = mp.mpf(flip)
        half = mp.mpf(1) / 2
        exact = mp.matrix([[half, half, 0], [half, half - f, f], [0, f, 1 - f]])
        eigenvalues = sorted(mp.eigsy(exact, eigvals_only=True))
        expected = float(-mp.log(eigenvalues[1]))
    assert energies[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("rare", [1e-12, 1e-100, 1e-300])
def test_rare_states_have_all_digits(rare):
    chain = theory([0.0, 1.0], [[1 - rare, rare], [0.5, 0.5]])
    assert chain.sources[0].law[0, 1] == pytest.approx(rare / (rare + 0.5), rel=1e-13)
    if rare > 1e-140:
        assert kallen_lehmann(chain).connected(1.0) == pytest.approx(2 * rare / 2, rel=1e-9)
    else:
        with pytest.raises(InputError, match="use other units"):
            kallen_lehmann(chain)


def test_slow_irreversible_chains_and_wrong_laws_are_refused():
    rates = 1e-10 * np.array([[-1.0, 1, 0], [0, -1, 1], [1, 0, -1]])
    with pytest.raises(InputError, match="must be reversible"):
        nnqm.MarkovChain([0.0, 1.0, 2.0], np.eye(3) + rates, 1.0)
    slow = [[1 - 1e-12, 1e-12], [1e-12, 1 - 1e-12]]
    with pytest.raises(InputError, match="must be reversible"):
        nnqm.MarkovChain([0.0, 1.0], slow, 1.0, law=[0.3, 0.7])
    with pytest.raises(InputError, match="law must be probabilities of shape"):
        nnqm.MarkovChain([0.0, 1.0], slow, 1.0, law=[0.2, 0.3, 0.5])


def test_large_offsets_and_scales_of_values():
    flip = [[0.9, 0.1], [0.1, 0.9]]
    chain = theory([1e8, 1e8 + 1], flip)
    assert chain.sources[0].variance[0] == pytest.approx(0.25)
    np.testing.assert_allclose(kallen_lehmann(chain).connected([0.0, 2.0]), [0.25, 0.16], rtol=1e-7)
    thermal = thermal_measure(chain, beta=4.0).moments[0]
    assert thermal == pytest.approx(0.25)
    for values in ([1e200, -1e200], [1e-200, -1e-200]):
        with pytest.raises(InputError, match="values must differ by 1e-75"):
            nnqm.MarkovChain(values, flip, 1.0)
    for values, transitions in (([4.0], [[1.0]]), ([3.0, 3.0], flip)):
        still = theory(values, transitions)
        assert kallen_lehmann(still).moments.tolist() == [0, 0, 0]
        assert thermal_measure(still, beta=3.0).moments.tolist() == [0, 0, 0]
