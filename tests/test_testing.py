"""nnqm.testing: every example of a strategy is valid, properties hold for right theories and fail for wrong ones."""

import ast
import importlib
import itertools
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import nnqm
import nnqm.testing as nt
from harness import accept, assert_rate_at_most, assert_uniform
from nnqm.errors import InputError, InputTypeError
from nnqm.positivity.certificate import positivity_certificate
from nnqm.sampling.correlators import is_uniform
from nnqm.testing.sampled import Difference, PathsOfATest
from nnqm.theories.markov_chain import alias_tables
from nnqm.theories.source import sources_by_kind

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "test_my_process.py"

# Health checks of Hypothesis are on: slow draws and filters that refuse too much are failures.
few = settings(max_examples=10, deadline=None, derandomize=True)
# Theories are not made smaller after a failure: the message has the theory, and every trial takes a second.
fewer = settings(max_examples=2, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])


# ---- strategies


@few
@given(st.data())
def test_sources_have_what_the_flags_say(data):
    flag = st.sampled_from([None, True, False])
    flags = {name: data.draw(flag) for name in ("markov", "positive", "stationary", "closed")}
    if flags["markov"] and (flags["stationary"] is False or flags["closed"]):
        with pytest.raises(InputError, match="leave some of them out"):
            nt.sources(**flags)
        return
    if flags["closed"] and (flags["stationary"] is False or flags["positive"] is False):
        return
    source = data.draw(nt.sources(max_inputs=2, **flags))
    says = {
        "markov": source.markov,
        "positive": bool(source.positive_because),
        "stationary": source.stationary,
        "closed": source.period is not None,
    }
    assert {name: says[name] for name, wanted in flags.items() if wanted is not None} == {
        name: wanted for name, wanted in flags.items() if wanted is not None
    }
    assert source.n_inputs <= 2 or source.kind == "periodic-box"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in sources_by_kind() if sources_by_kind()[k].__module__.startswith("nnqm.")])
def test_sources_of_every_kind_are_drawn_and_run(kind):
    def check(source):
        assert source.kind == kind
        theory = nnqm.Theory(source)
        assert nnqm.Theory.from_dict(theory.to_dict()) == theory
        if source.interval is not None:
            grid = {"times": np.linspace(*source.interval, 8)}
        else:
            grid = {"n_times": 8, "dt": None if source.period else source.natural_step}
        assert np.isfinite(nnqm.sample_paths(theory, 8, rng=1, **grid)).all()

    fewer(given(nt.sources(kinds=[kind]))(check))()


@few
@given(st.data(), st.booleans())
def test_chains_are_positive_or_alternate(data, positive):
    chain = data.draw(nt.sources(kinds=["markov-chain"], positive=positive))
    # With the stationary law p, sqrt(p_i) P_ij/sqrt(p_j) is symmetric.
    root = np.sqrt(chain.law[0])
    lowest = np.linalg.eigvalsh(root[:, None] * chain.transitions[0] / root)[0]
    assert (lowest > -1e-12) == positive


def test_sources_refuse_what_does_not_exist():
    with pytest.raises(InputError, match=r"no source of .* has closed=True; leave some of them out"):
        nt.sources(kinds=["ornstein-uhlenbeck"], closed=True)
    with pytest.raises(InputError, match="did you mean 'ornstein-uhlenbeck'"):
        nt.sources(kinds=["ornstein-ulenbeck"])
    with pytest.raises(InputError, match=r"rates must be \(a, b\) with 0 < a <= b"):
        nt.sources(rates=(2.0, 1.0))
    with pytest.raises(InputError, match="no kernel has positive=True and stationary=False"):
        nt.kernels(positive=True, stationary=False)
    with pytest.raises(InputError, match="degree must be 2, 4 or 6; got 3"):
        nt.potentials(degree=3)
    with pytest.raises(InputError, match=r"grid must have times of at least 0.*grids\(start=0.0\)"):
        find(nt.correlators(st.just(np.array([-1.0, 0.0]))), lambda g: True)


@few
@given(nt.kernels(positive=True))
def test_positive_kernels_are_positive(kernel):
    assert nt.assert_positive(kernel) == 1.0


@pytest.mark.slow
@few
@given(nt.kernels(positive=False))
def test_kernels_that_are_not_positive_are_caught(kernel):
    with pytest.raises(AssertionError, match=f"the kernel {kernel.name} is not reflection positive"):
        nt.assert_positive(kernel)


@pytest.mark.slow
@fewer
@given(nt.hamiltonians())
def test_hamiltonians_bind(hamiltonian):
    energies = hamiltonian.energies(3)
    assert energies[0] > hamiltonian.potential(np.linspace(-10, 10, 2001)).min()
    assert np.all(np.diff(energies) > 0)


@few
@given(nt.potentials())
def test_potentials_rise_on_both_sides(coefficients):
    x = np.array([-20.0, -10.0, 10.0, 20.0])
    v = np.polynomial.polynomial.polyval(x, coefficients)
    assert v[0] > v[1]
    assert v[3] > v[2]


@few
@given(st.data(), st.sampled_from([None, True, False]), st.integers(1, 3))
def test_grids_increase(data, uniform, least):
    t = data.draw(nt.grids(min_size=least, max_size=9, uniform=uniform, dt=(0.1, 0.5)))
    assert least <= len(t) <= 9
    assert np.all(np.diff(t) > 0.1 * (1 - 1e-12))
    assert np.all(np.diff(t) < 0.5 * (1 + 1e-12))
    assert uniform is not True or is_uniform(t)


@few
@given(nt.networks(n_inputs=2, n_outputs=st.integers(2, 3), activations=["tanh", "relu"], last=["identity"]))
def test_networks_have_what_is_asked_for(network):
    assert network.n_inputs == 2
    assert network.n_outputs in (2, 3)
    assert network.activations[-1] == "identity"
    assert set(network.activations[:-1]) <= {"tanh", "relu"}
    assert np.isfinite(network(np.ones((3, 2)))).all()


@few
@given(nt.random_networks(n_outputs=1, groups=[2]))
def test_random_networks_have_what_is_asked_for(network):
    assert network.n_outputs == 1
    assert network.group == 2
    network.need_moment(8, "this test")
    assert nnqm.RandomNetwork.from_dict(network.to_dict()) == network


@pytest.mark.slow
@few
@given(nt.theories(positive=True, stationary=True, random_weights=False))
def test_theories_have_what_is_asked_for(theory):
    assert theory.stationary
    assert theory.positive_because
    assert not isinstance(theory.network, nnqm.RandomNetwork)


@few
@given(nt.correlators(noisy=False))
def test_correlators_are_sums_of_exponentials(known):
    expected = [sum(w * np.exp(-e * t) for w, e in zip(known.weights, known.gaps, strict=True)) for t in known.times]
    np.testing.assert_allclose(known.exact, expected, rtol=1e-13)
    np.testing.assert_array_equal(known.values, known.exact)
    assert np.all(np.diff(known.gaps) > 0.02)


@few
@given(
    nt.correlators(nt.grids(min_size=8, max_size=8, uniform=True, dt=(0.2, 0.3), start=0.0), max_levels=2), st.data()
)
def test_noise_has_its_covariance_and_negative_weights_are_violations(known, data):
    chi = known.values - known.exact
    statistic = float(chi @ np.linalg.solve(known.covariance, chi))
    # The 1e-7 quantiles of chi squared with 8 degrees of freedom: noise with another size lies outside.
    assert 0.05 < statistic < 50
    wrong = data.draw(nt.correlators(max_levels=2, positive=False))
    assert positivity_certificate(wrong.exact, dt=0.2).verdict == "violated"
    assert positivity_certificate(known.exact, dt=float(known.times[1])).verdict == "positive on the grid"


@pytest.mark.slow
@settings(few, max_examples=6)
@given(nt.user_paths())
def test_user_paths_mean_what_they_say(given_paths):
    x, w = given_paths.values, given_paths.value_weights
    run = nnqm.accumulate(given_paths.paths, 0.1, weights=given_paths.weights, independent=True, **given_paths.settings)
    scale = np.abs(x).max()
    assert run.n_paths == len(x)
    for c in range(x.shape[2]):
        mean = np.average(x[:, :, c].mean(axis=1), weights=w)
        assert run.mean(c).value == pytest.approx(mean, abs=1e-5 * scale)
        variance = np.average(((x[:, :, c] - mean) ** 2).mean(axis=1), weights=w)
        assert run.moments(c).value[0] == pytest.approx(variance, rel=1e-4)


def test_user_paths_have_variance_1_and_the_correlation_that_is_said():
    many = find(nt.user_paths(n_paths=(1000, 1000), n_times=(8, 8), max_channels=1, dtypes=["<f8"]), lambda p: True)
    x = many.values[:, :, 0]
    accept(p_of([x[:, 0] ** 2 - 1, x[:, 7] ** 2 - 1, x[:, 6] * x[:, 7] - 0.8]), "moments of user paths")
    assert p_of([x[:, 7] ** 2 - 1.4]) < 1e-3


def test_forms_of_user_paths_can_be_chosen():
    one = find(nt.user_paths(weighted=True, replicas=True, dtypes=[">f4"], max_channels=1), lambda p: True)
    assert set(one.paths) == set(one.weights) == {"r0", "r1"}
    assert one.paths["r0"].dtype == ">f4"
    assert one.value_weights.shape == (len(one.values),)
    seen = set()
    for form in ("batches", "numbers", "axes"):
        found = find(nt.user_paths(replicas=False), lambda p, form=form: p.form.startswith(form))
        seen.add(type(found.paths))
    assert seen == {list, np.ndarray}
    assert repr(one).startswith("UserPaths(2 replicas, >f4")


def test_examples_shrink_to_simple_ones():
    assert find(nt.potentials(), lambda v: True) == [0.0, 0.0, 0.25]
    chain = find(nt.sources(kinds=["markov-chain"], positive=False), lambda s: s.values.shape[1] > 2)
    assert chain.values.shape == (1, 3)
    assert chain.dt == 1.0
    network = find(nt.networks(), lambda net: len(net.activations) > 1 and net.n_inputs == 2)
    assert network.widths[1:] == (1, 1)


# ---- properties: right theories


@pytest.mark.slow
@fewer
@given(nt.theories())
def test_bits_of_any_theory(theory):
    nt.assert_bits_do_not_depend_on_threads(theory)
    nt.assert_extend_equals_one_run(theory)


@pytest.mark.slow
@fewer
@given(nt.theories(nt.sources(kinds=["ornstein-uhlenbeck", "markov-chain"], positive=True), random_weights=False))
def test_positive_stationary_theories_have_the_statistical_properties(theory):
    for assertion in (
        nt.assert_stationary,
        nt.assert_reversible,
        nt.assert_positive,
        nt.assert_sampled_agrees_with_exact,
    ):
        assertion(theory, n_paths=2000, n_times=16)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["karhunen-loeve", "times", "thermal-ornstein-uhlenbeck"])
def test_other_theories_have_the_properties_that_they_claim(kind):
    nt.assert_theory(nnqm.Theory(find(nt.sources(kinds=[kind]), lambda s: True)), n_paths=1000, n_times=12)


@pytest.mark.slow
def test_p_values_are_uniform_and_repeat():
    theory = nnqm.builtin_theory("three-inputs")
    for assertion in (nt.assert_stationary, nt.assert_reversible):
        assert_uniform([assertion(theory, n_paths=1000, n_times=12, rng=seed) for seed in range(16)])
    again = nnqm.Theory.from_dict(theory.to_dict())
    assert nt.assert_stationary(theory, n_paths=1000) == nt.assert_stationary(again, n_paths=1000)
    other = nnqm.harmonic_oscillator(1.5)
    assert nt.assert_stationary(theory, n_paths=1000) != nt.assert_stationary(other, n_paths=1000)
    made = [(theory, "a"), (again, "a"), (theory, "b"), (other, "a")]
    first, *rest = (PathsOfATest.of(t, purpose, {}, 1000).key for t, purpose in made)
    assert [key == first for key in rest] == [True, False, False]


def p_of(columns):
    """p-value of the hypothesis that the averages of columns are zero."""
    return Difference.of(columns, ["f"] * len(columns), 1).p_value()


@pytest.mark.slow
def test_skewed_averages_give_few_false_alarms():
    level, trials = 1e-3, 400
    rng = np.random.default_rng(1)
    alarms = uncorrected = 0
    for _ in range(trials):
        # Lognormal numbers of mean 1, whose averages are too small with too small an error far more often than not.
        found = Difference.of([np.exp(1.3 * rng.normal(size=128) - 0.845) - 1], ["f"], 1)
        alarms += found.p_value() < level
        uncorrected += found.estimate.consistency(np.zeros(1)) < level
    assert_rate_at_most(alarms, trials, 5 * level)
    assert uncorrected > 20 * trials * level


def test_differences_that_do_not_fluctuate_are_zero_or_caught():
    rng = np.random.default_rng(2)
    x = rng.normal(size=4096)
    still = np.full(4096, 1e-3)
    assert p_of([0 * still, 0 * still]) == 1.0
    assert p_of([x, still]) == p_of([still]) == 0.0
    # A function of the others, one with an offset that no fluctuation explains, and rounding.
    accept(p_of([x, 2 * x]), "dependent columns")
    assert p_of([x, x + 0.1]) == 0.0
    accept(p_of([x, 1e-10 * np.sign(x) + 2e-10]), "rounding")
    assert p_of([x + 0.2]) < 1e-20


# ---- properties: wrong theories


@dataclass(frozen=True)
class Wrong(nnqm.Source):
    """A chain on given values, in terms of the core, which takes what MarkovChain refuses."""

    kind = "wrong-chain"

    values: tuple[float, ...]
    steps: tuple[tuple[float, ...], ...]
    start: tuple[float, ...]
    says: float = 1.0

    @property
    def variance(self):
        return np.array([self.says])

    @property
    def natural_step(self):
        return 1.0

    def compiled(self, times):
        first, rows = alias_tables(np.array([self.start])), alias_tables(np.array(self.steps))
        values = np.array([self.values])
        return [
            nnqm._core.Chain(
                dt=float(times[1] - times[0]),
                values=values,
                start_threshold=first[0],
                start_alias=first[1],
                threshold=rows[0],
                alias=rows[1],
            )
        ]


FLIP = ((0.9, 0.1), (0.1, 0.9))
THIRDS = (1 / 3, 1 / 3, 1 / 3)


def cycle(forward, backward):
    rest = 1 - forward - backward
    return ((rest, forward, backward), (backward, rest, forward), (forward, backward, rest))


class Restless(nnqm.Source):
    """An oscillator with a rate that nobody knows."""

    variance = property(lambda self: np.array([0.5]))
    natural_step = 0.2

    def compiled(self, times):
        return nnqm.OrnsteinUhlenbeck(np.random.default_rng().uniform(1, 2)).compiled(times)


@dataclass(frozen=True)
class Forgetful(nnqm.Source):
    """An oscillator whose copies have the default rate."""

    kind = "forgetful"

    omega: float = 1.0
    variance = property(lambda self: np.array([0.5 / self.omega]))
    natural_step = 0.2

    def compiled(self, times):
        return nnqm.OrnsteinUhlenbeck(self.omega).compiled(times)

    def contents(self):
        return {}


def test_a_right_chain_passes():
    theory = nnqm.Theory(Wrong((-1.0, 1.0), FLIP, (0.5, 0.5)))
    assert nt.assert_stationary(theory) > 1e-6
    assert nt.assert_reversible(nnqm.Theory(Wrong((-1.0, 0.0, 1.0), cycle(0.2, 0.2), THIRDS))) > 1e-6
    assert nt.assert_sampled_agrees_with_exact(theory) > 1e-6


def test_a_start_that_is_not_stationary_is_caught():
    with pytest.raises(
        AssertionError, match=r"not stationary: <u.*less its value at the start differs.* p = .* < 1e-06"
    ):
        nt.assert_stationary(nnqm.Theory(Wrong((-1.0, 1.0), FLIP, (0.6, 0.4))))


def test_a_cycle_is_not_reversible():
    with pytest.raises(AssertionError, match=r"not reversible: <u\S*\(t\) u\S*\(t \+ l\)"):
        nt.assert_reversible(nnqm.Theory(Wrong((-1.0, 0.0, 1.0), cycle(0.25, 0.2), THIRDS)))


def test_two_outputs_that_turn_are_not_reversible():
    # Each output alone is reversible: a walk around a square.
    steps = np.zeros((4, 4))
    for i in range(4):
        steps[i, [i, (i + 1) % 4]] = 0.6, 0.4
    one = Wrong((0.0, 1.0, 2.0, 3.0), tuple(map(tuple, steps)), (0.25,) * 4)
    corners = nnqm.Network([[[np.pi / 2], [np.pi / 2]], np.eye(2)], [[0.0, np.pi / 2], [0.0, 0.0]], "sin")
    with pytest.raises(AssertionError, match=r"not reversible: <u\(t\) u'\(t \+ l\)"):
        nt.assert_reversible(nnqm.Theory(one, corners))
    assert nt.assert_stationary(nnqm.Theory(one, corners)) > 1e-6


@pytest.mark.slow
def test_exact_values_that_are_wrong_by_five_per_cent_are_caught():
    oscillator = nnqm.harmonic_oscillator()
    for wrong in (lambda t: 0.525 * np.exp(-t), lambda t: 0.5 * np.exp(-1.05 * t)):
        with pytest.raises(
            AssertionError, match=r"differs from the exact one: G\(.*\) less its exact value 0\.\d+ diff"
        ):
            nt.assert_sampled_agrees_with_exact(oscillator, wrong)
    assert nt.assert_sampled_agrees_with_exact(oscillator, lambda s, t: 0.5 * np.exp(-np.abs(s - t))) > 1e-6
    with pytest.raises(AssertionError, match=r"variance of x less its exact value 1\.05"):
        nt.assert_sampled_agrees_with_exact(nnqm.Theory(Wrong((-1.0, 1.0), FLIP, (0.5, 0.5), says=1.05)))
    # Through a network, whose mean is not given: pairs of paths; and a process on an interval, at pairs of times.
    squared = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="tanh"))
    measure = nnqm.kallen_lehmann(squared)
    assert nt.assert_sampled_agrees_with_exact(squared, measure.connected) > 1e-6
    with pytest.raises(AssertionError, match="differs from the exact one"):
        nt.assert_sampled_agrees_with_exact(squared, lambda t: 1.05 * measure.connected(t))
    wiener = nnqm.karhunen_loeve(nnqm.Kernel.wiener(), (0.0, 2.0), 8)
    bridge = nnqm.Theory(nnqm.KarhunenLoeveProcess(wiener))
    assert nt.assert_sampled_agrees_with_exact(bridge) > 1e-6
    with pytest.raises(AssertionError, match=r"<x\(.*\) x\(.*\)> less its exact value"):
        nt.assert_sampled_agrees_with_exact(bridge, lambda s, t: 1.05 * bridge.sources[0].known_covariance(s, t))


def test_a_wrong_mean_and_wrong_moments_are_caught():
    measure = nnqm.kallen_lehmann(nnqm.harmonic_oscillator())
    with pytest.raises(AssertionError, match=r"<x> less its exact value 0\.05"):
        nt.assert_sampled_agrees_with_exact(nnqm.harmonic_oscillator(), replace(measure, mean=0.05))
    wrong = measure.moments * [1.0, 1.0, 1.1]
    with pytest.raises(AssertionError, match=r"<\(x - <x>\)\^4> less"):
        nt.assert_sampled_agrees_with_exact(nnqm.harmonic_oscillator(), replace(measure, moments=wrong))


@pytest.mark.slow
def test_paths_that_do_not_fluctuate_are_positive():
    dead = nnqm.Network([[[1.0]], [[1.0]]], [[-1e3], [2.0]], "relu")
    assert nt.assert_positive(nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), dead)) == 1.0
    # An output that does not move hides no other output.
    alternating = find(nt.sources(kinds=["markov-chain"], positive=False), lambda s: True)
    half_dead = nnqm.Network([[[0.0], [1.0]]], [[3.0, 0.0]])
    with pytest.raises(AssertionError, match="not reflection positive"):
        nt.assert_positive(nnqm.Theory(alternating, half_dead))


@pytest.mark.slow
def test_theories_that_are_not_positive_are_caught():
    alternating = nnqm.Theory(find(nt.sources(kinds=["markov-chain"], positive=False), lambda s: True))
    with pytest.raises(AssertionError, match=r"not reflection positive: .* for F = .*z"):
        nt.assert_positive(alternating)
    smooth = nnqm.karhunen_loeve(nnqm.Kernel.matern(1.5), (0.0, 4.0), 24)
    with pytest.raises(AssertionError, match=r"not reflection positive: .* p = "):
        nt.assert_positive(nnqm.Theory(nnqm.KarhunenLoeveProcess(smooth)))
    with pytest.raises(AssertionError, match="not Markov: violated"):
        nt.assert_markov(nnqm.Theory([nnqm.OrnsteinUhlenbeck([0.5, 4.0])], nnqm.Network([[[1.0, 2.0]]])))


@pytest.mark.slow
def test_bits_that_depend_on_the_call_are_caught(monkeypatch):
    with pytest.raises(AssertionError, match=r"two calls with one key give other bits: path 0 at t = .* is"):
        nt.assert_bits_do_not_depend_on_threads(nnqm.Theory(Restless()))
    # A fake of sums that depend on threads, and of an extension that forgets.
    from nnqm.testing import assertions

    right = assertions.simulate

    def wrong(theory, n_paths, *, n_threads=0, rng=None, **options):
        return right(theory, n_paths, rng=rng + (n_threads == 3), **options)

    monkeypatch.setattr(assertions, "simulate", wrong)
    with pytest.raises(
        AssertionError, match=r"number of threads, 1 or 3: the sums 'paths|number of threads, 1 or 3: the"
    ):
        nt.assert_bits_do_not_depend_on_threads(nnqm.harmonic_oscillator())
    monkeypatch.setattr(assertions, "simulate", right)
    monkeypatch.setattr(assertions, "extend", lambda run, n: right(run.theory, n, times=run.times, rng=7, n_blocks=5))
    with pytest.raises(AssertionError, match="an extended run is not the bits of one run: the sums"):
        nt.assert_extend_equals_one_run(nnqm.harmonic_oscillator())


@pytest.mark.slow
def test_copies_that_differ_are_caught():
    nt.assert_saved_and_loaded_is_the_same(nnqm.Theory(Forgetful(1.0)))
    with pytest.raises(AssertionError, match=r"is not the theory: .*Forgetful\(omega=1.0\)|saved and loaded is not"):
        nt.assert_saved_and_loaded_is_the_same(nnqm.Theory(Forgetful(2.0)))

    @dataclass(frozen=True)
    class Inner(Forgetful):
        kind = "inner-forgetful"

    with pytest.raises(AssertionError, match=r"cannot be pickled .* at the top of a module"):
        nt.assert_saved_and_loaded_is_the_same(nnqm.Theory(Inner(1.0)))


def test_arguments_are_checked():
    with pytest.raises(InputTypeError, match=r"theory must be a Theory.*nnqm.Theory\(source\) makes one"):
        nt.assert_stationary(nnqm.OrnsteinUhlenbeck(1.0))
    with pytest.raises(InputError, match=r"significance must be below 0\.1; got 0\.5"):
        nt.assert_stationary(nnqm.harmonic_oscillator(), significance=0.5)
    with pytest.raises(InputError, match="did you mean 'n_paths'"):
        nt.assert_stationary(nnqm.harmonic_oscillator(), n_path=1000)
    with pytest.raises(InputError, match="interval belongs to kernels"):
        nt.assert_positive(nnqm.harmonic_oscillator(), interval=(0, 1))
    with pytest.raises(InputError, match="nothing exact is known"):
        nt.assert_sampled_agrees_with_exact(nnqm.Theory(nnqm.Times(), nnqm.Network([[[1.0]]])))


# ---- the package


def test_a_missing_hypothesis_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    monkeypatch.delitem(sys.modules, "nnqm.testing")
    with pytest.raises(ImportError, match=r"nnqm.testing needs Hypothesis: pip install 'nnqm\[testing\]'"):
        importlib.import_module("nnqm.testing")


@pytest.mark.slow
def test_the_example_is_the_one_of_the_page_and_passes(monkeypatch):
    page = (ROOT / "docs" / "testing-your-theory.md").read_text()
    assert re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0] == EXAMPLE.read_text()
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    module = importlib.import_module("test_my_process")
    process = module.Telegraph(0.7, 1.5)
    module.test_it_is_a_quantum_theory.hypothesis.inner_test(process)
    module.test_networks_of_it_are_quantum_theories.hypothesis.inner_test(process, nnqm.Network([[[2.0]]], [[0.5]]))
    module.test_its_correlator.hypothesis.inner_test(process)


def test_every_public_name_is_on_the_page():
    page = (ROOT / "docs" / "testing-your-theory.md").read_text()
    assert not [name for name in nt.__all__ if f"`{name}" not in page]
    imported = {
        a.name for node in ast.walk(ast.parse(Path(nt.__file__).read_text())) for a in getattr(node, "names", [])
    }
    assert set(nt.__all__) <= imported
    assert list(itertools.chain(nt.__all__)) == sorted(nt.__all__)


@pytest.mark.parametrize(
    ("exact", "expected"),
    [
        (lambda t: np.nan * t, r"exact\(t\) must be finite"),
        (lambda t: 0.5 * np.exp(-t) * 1j, r"exact\(t\) must be real numbers; got dtype complex128"),
        (lambda t: "a", r"exact\(t\) must be real numbers"),
        (lambda t: t[:2], r"exact must return one value for each of \d+ times; got shape \(2,\)"),
        (3, "exact must be a measure, a source or a function of lags; got int"),
    ],
)
def test_exact_sides_that_are_no_numbers_are_refused(exact, expected):
    with pytest.raises((InputError, InputTypeError), match=expected):
        nt.assert_sampled_agrees_with_exact(nnqm.harmonic_oscillator(), exact, n_paths=1000, n_times=4)


def test_averages_that_are_no_numbers_do_not_pass():
    good, bad = np.random.default_rng(1).normal(size=(2, 1024))
    bad[5] = np.nan
    assert Difference.of([good], ["a"], 1).p_value() > 1e-6
    assert Difference.of([good, bad], ["a", "b"], 1).p_value() == 0
    assert "b differs from 0 by" in Difference.of([good, bad], ["a", "b"], 1).worst()


def test_a_constant_output_agrees_with_its_exact_values():
    # The exact mean differs from the values in the last bits.
    network = nnqm.Network([[[0.0]], [[0.0]]], [[0.0], [3.0]], activation="tanh")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    assert nt.assert_sampled_agrees_with_exact(theory) > 1e-6
