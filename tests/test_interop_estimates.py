"""Estimates to and from gvar, pyerrors, uncertainties, jackknife and bootstrap samples, in the real packages."""

import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import harness
import nnqm
from nnqm import interop
from nnqm.errors import InputError, InputTypeError

gvar = pytest.importorskip("gvar")
uncertainties = pytest.importorskip("uncertainties")
with warnings.catch_warnings():
    # Its import uses parts of SciPy that will go away.
    warnings.simplefilter("ignore")
    pyerrors = pytest.importorskip("pyerrors")


def blocks(seed, n, shape, equal=True):
    """An estimate of averages over n blocks whose entries are correlated."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    sums = rng.normal(size=(n, size)) @ rng.normal(size=(size, size)) + rng.normal(size=size)
    counts = np.ones(n) if equal else rng.integers(1, 9, size=n)
    data = {"x": sums.reshape(n, *shape) * counts.reshape(-1, *[1] * len(shape)), "n": counts}
    return nnqm.jackknife(lambda s: s["x"] / s["n"].reshape(-1, *[1] * len(shape)), data, counts)


def covariance(estimate):
    d = estimate.deviations()
    return d.T @ d


def of_gvar(objects):
    return gvar.evalcov(objects)


def of_pyerrors(objects):
    return pyerrors.covariance(list(objects))


def of_uncertainties(objects):
    return np.array(uncertainties.covariance_matrix(list(objects)))


def to_pyerrors(estimates, **options):
    return interop.to_pyerrors(estimates, "run", **options)


TOOLS = {
    "gvar": (interop.to_gvar, interop.from_gvar, of_gvar),
    "pyerrors": (to_pyerrors, interop.from_pyerrors, of_pyerrors),
    "uncertainties": (interop.to_uncertainties, interop.from_uncertainties, of_uncertainties),
}
EACH = pytest.mark.parametrize("package", TOOLS)
CASES = st.tuples(st.integers(0, 2**32), st.integers(8, 24), st.integers(1, 4), st.booleans())


@EACH
@settings(max_examples=8)
@given(case=CASES)
def test_round_trips_keep_values_errors_and_correlations(package, case):
    there, back, matrix = TOOLS[package]
    estimate = blocks(case[0], case[1], (case[2],), case[3])
    objects = there(estimate)
    expected = covariance(estimate)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(matrix(objects) / scale, expected / scale, rtol=0, atol=1e-10)
    found = back(objects)
    np.testing.assert_array_equal(found.value, estimate.value)
    np.testing.assert_allclose(found.error, estimate.error, rtol=1e-7)
    np.testing.assert_allclose(covariance(found) / scale, expected / scale, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.pull(1.0), estimate.pull(1.0), rtol=1e-7)
    np.testing.assert_array_equal(found.systematic, 0)


@EACH
def test_correlations_of_several_estimates_survive(package):
    there, back, matrix = TOOLS[package]
    both = blocks(1, 32, (3,))
    a, b = both[0], both[1:]
    found = there({"a": a, "b": b})
    assert list(found) == ["a", "b"]
    assert found["b"].shape == (2,)
    expected = covariance(both)
    np.testing.assert_allclose(matrix([found["a"], *found["b"]]), expected, rtol=1e-9)
    assert abs(expected[0, 1]) > 0.1 * np.sqrt(expected[0, 0] * expected[1, 1])
    # The error of a difference is the one with the correlation, both there and back.
    difference = back([found["b"][0] - found["a"]])
    assert back(found["a"]).ndim == 0
    np.testing.assert_allclose(difference.error, (b[:1] - a).error, rtol=1e-9)
    assert abs(float((b[0] - a).error / np.hypot(a.error, b[0].error)) - 1) > 0.02
    again = back(found)
    np.testing.assert_allclose(again["b"][0].map(lambda x, y: x - y, again["a"]).error, (b[0] - a).error, rtol=1e-7)


@pytest.mark.parametrize("package", ["gvar", "uncertainties"])
def test_separate_calls_are_independent(package):
    there, _, matrix = TOOLS[package]
    both = blocks(2, 32, (2,))
    assert matrix([there(both[0]), there(both[1])])[0, 1] == 0


def test_ensembles_of_pyerrors_are_known_by_their_names():
    both = blocks(2, 32, (2,))
    first, second = interop.to_pyerrors(both[0], "one"), interop.to_pyerrors(both[1], "one")
    other = interop.to_pyerrors(both[1], "two")
    assert of_pyerrors([first, second])[0, 1] == pytest.approx(covariance(both)[0, 1])
    assert of_pyerrors([first, other])[0, 1] == 0
    with pytest.raises(InputError, match="name of the ensemble"):
        interop.to_pyerrors(both, "a|b")


def test_analysed_observables_keep_their_errors():
    # An autoregressive chain: its error is that of the Gamma method, 3 times the naive one.
    rng = np.random.default_rng(3)
    chain = np.empty(2000)
    chain[0] = rng.normal()
    for i in range(1, len(chain)):
        chain[i] = 0.8 * chain[i - 1] + 0.6 * rng.normal()
    observable = pyerrors.Obs([chain], ["chain"])
    observable.gamma_method(S=1.5)
    found = interop.from_pyerrors(observable)
    assert found.ndim == 0
    assert float(found.error) == pytest.approx(observable.dvalue, rel=1e-9)
    observable.gamma_method(S=0)
    assert float(found.error) > 2 * observable.dvalue
    plain = pyerrors.Obs([chain], ["chain"])
    assert float(interop.from_pyerrors(plain).error) > 2 * observable.dvalue
    assert not hasattr(plain, "e_dvalue")


def test_correlators_of_pyerrors():
    estimate = blocks(4, 32, (4,))
    corr = pyerrors.Corr([*interop.to_pyerrors(estimate, "run")], padding=[1, 0])
    found = interop.from_pyerrors(corr)
    np.testing.assert_allclose(covariance(found), covariance(estimate), rtol=1e-6, atol=1e-12)


@EACH
def test_shapes(package):
    there, back, _ = TOOLS[package]
    estimate = blocks(5, 16, (2, 3))
    objects = there(estimate)
    assert objects.shape == (2, 3)
    np.testing.assert_allclose(back(objects).error, estimate.error, rtol=1e-7)
    assert not isinstance(there(estimate[0, 0]), np.ndarray)
    assert [o.shape for o in there([estimate[0], estimate])] == [(3,), (2, 3)]


# ---- systematic errors


def total(package, objects):
    return np.sqrt(np.diag(TOOLS[package][2](objects)))


@EACH
def test_systematic_errors_are_never_lost_in_silence(package):
    there, back, _ = TOOLS[package]
    plain = blocks(6, 16, (3,))
    estimate = plain.with_systematic([0.0, 0.7, 1.5])
    with pytest.raises(InputError, match=r"2 of 3 values have a systematic error.*component"):
        there(estimate)
    np.testing.assert_allclose(total(package, there(estimate, systematic="leave out")), plain.error, rtol=1e-7)
    objects = there(estimate, systematic="component")
    if package == "pyerrors":
        assert [o.dvalue for o in objects] == pytest.approx(list(estimate.total_error))
    np.testing.assert_allclose(total(package, objects), estimate.total_error, rtol=1e-9)
    found = back(objects)
    np.testing.assert_allclose(found.total_error, estimate.total_error, rtol=1e-7)
    if package != "gvar":
        np.testing.assert_allclose(found.systematic, estimate.systematic, rtol=1e-9)
        np.testing.assert_allclose(covariance(found), covariance(plain), rtol=1e-6, atol=1e-12)
    with pytest.raises(InputError, match="systematic 'ignore' is unknown"):
        there(estimate, systematic="ignore")


def test_values_with_a_systematic_error_alone():
    # The first value does not fluctuate.
    both = nnqm.Estimate([1.0, 2.0], np.stack([np.ones(8), 2 + 0.01 * np.arange(8)], 1), np.full(8, 8.0), [0.3, 0.2])
    found = interop.from_uncertainties(interop.to_uncertainties(both, systematic="component"))
    np.testing.assert_allclose(found.error, both.error, rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.systematic, [0.3, 0.2])


def test_systematic_errors_of_functions_of_observables():
    # 3 x - y: systematic errors add linearly, and the error of the user's own analysis stays.
    estimate = blocks(6, 40, (2,)).with_systematic([0.2, 0.3])
    x, y = interop.to_pyerrors(estimate, "run", systematic="component")
    function = 3 * x - y
    function.gamma_method(S=3)
    wide = float(np.sqrt(function.dvalue**2 - 9 * 0.2**2 - 0.3**2))
    found = interop.from_pyerrors([function, x])
    np.testing.assert_allclose(found.systematic, [0.9, 0.2])
    np.testing.assert_allclose(found.error, [wide, estimate.error[0]], rtol=1e-7)
    assert abs(wide / float((3 * estimate[0] - estimate[1]).error) - 1) > 1e-3
    u, v = interop.to_uncertainties(estimate, systematic="component")
    np.testing.assert_allclose(interop.from_uncertainties(3 * u - v).systematic, 0.9)


# ---- samples


@settings(max_examples=15)
@given(case=CASES)
def test_jackknife_samples(case):
    estimate = blocks(case[0], case[1], (case[2],), case[3])
    samples = interop.to_jackknife(estimate)
    n = len(samples)
    away = samples - samples.mean(axis=0)
    expected = covariance(estimate)
    np.testing.assert_allclose((n - 1) / n * away.T @ away, expected, rtol=1e-9, atol=1e-12 * expected.max())
    again = interop.from_jackknife(samples, estimate.value)
    np.testing.assert_array_equal(again.value, estimate.value)
    np.testing.assert_allclose(covariance(again), expected, rtol=1e-9, atol=1e-12 * expected.max())
    if case[3]:
        np.testing.assert_array_equal(samples, estimate.replicas)
    same = interop.from_jackknife(estimate.replicas, estimate.value, sizes=1 / estimate.weights)
    np.testing.assert_allclose(covariance(same), expected, rtol=1e-9, atol=1e-12 * expected.max())


def test_unequal_blocks_need_their_reflection():
    # Negative control: the replicas of unequal blocks themselves have another error by the textbook formula.
    estimate = blocks(7, 12, (2,), equal=False)
    away = estimate.replicas - estimate.replicas.mean(axis=0)
    wrong = 11 / 12 * (away**2).sum(axis=0)
    assert np.abs(np.sqrt(wrong) / estimate.error - 1).max() > 0.02
    # Without a value, that of an average over all data, which a sample of more data contains more of.
    found = interop.from_jackknife(estimate.replicas, sizes=1 / estimate.weights)
    np.testing.assert_allclose(found.value, estimate.value)
    # Blocks of almost equal size hardly change.
    counts = 100.0 + np.arange(12) % 2
    data = {"x": np.random.default_rng(1).normal(size=12) * counts, "n": counts}
    almost = nnqm.jackknife(lambda s: s["x"] / s["n"], data, counts)
    np.testing.assert_allclose(interop.to_jackknife(almost), almost.replicas, rtol=0, atol=0.01 * float(almost.error))
    data = np.array([1.0, 2.0, 4.0, 9.0])
    mean = interop.from_jackknife((data.sum() - data) / 3)
    assert float(mean.value) == 4.0
    assert float(mean.error) == pytest.approx(data.std(ddof=1) / 2)


def p_of_variance(samples, variance):
    """p-value of the variance of normal samples."""
    ratio = samples.var(ddof=1) / variance
    return 2 * stats.norm.sf(abs(ratio - 1) / np.sqrt(2 / len(samples)))


def test_bootstrap_samples_have_the_covariance():
    estimate = blocks(8, 100, (2,), equal=False).with_systematic([0.0, 0.4])
    with pytest.raises(InputError, match="systematic"):
        interop.to_bootstrap(estimate, 100, rng=1)
    samples = interop.to_bootstrap([estimate[0], estimate[1], estimate[1]], 5000, rng=1, systematic="leave out")
    np.testing.assert_array_equal(samples[1], samples[2])
    expected = covariance(estimate)
    for column, variance in zip(samples, np.diag(expected), strict=False):
        harness.accept(p_of_variance(column, variance), "variance of bootstrap samples")
        harness.refute(p_of_variance(column, 1.2 * variance), "another variance")
    of_sum = expected.sum()
    harness.accept(p_of_variance(samples[0] + samples[1], of_sum), "variance of a sum")
    harness.refute(p_of_variance(samples[0] + samples[1], np.trace(expected)), "variance of a sum without correlation")
    wider = interop.to_bootstrap(estimate, 5000, rng=1, systematic="component")[:, 1]
    harness.accept(p_of_variance(wider, float(estimate[1].total_error) ** 2), "variance with a component")
    found = interop.from_bootstrap(np.stack(samples[:2], axis=1), estimate.value)
    np.testing.assert_array_equal(found.value, estimate.value)
    np.testing.assert_allclose(covariance(found), np.cov(samples[0], samples[1]), rtol=1e-9)
    assert float(interop.from_bootstrap(np.arange(50.0)).value) == 24.5


@pytest.mark.parametrize("share", [0.3, 0.488, 0.512, 0.9])
def test_two_blocks_of_unequal_size_keep_their_error(share):
    # The reflection of two blocks is the identity.
    counts = 1000 * np.array([share, 1 - share])
    estimate = nnqm.jackknife(lambda s: s["x"] / s["n"], {"x": np.array([1.0, 1.4]) * counts, "n": counts}, counts)
    error, samples = float(estimate.error), interop.to_jackknife(estimate)
    np.testing.assert_allclose(abs(samples[1] - samples[0]) / 2, error)
    np.testing.assert_allclose(interop.to_bootstrap(estimate, 10_000, rng=1).std(), error, rtol=0.05)
    assert abs(interop.to_pyerrors(estimate, "two").dvalue / error - 1) < 1e-9


def test_bootstrap_and_jackknife_have_one_orientation():
    # A block of large values lifts samples in which it is drawn often, and lowers the sample without it.
    data = np.ones(20)
    data[3] = 5.0
    estimate = nnqm.jackknife(lambda s: s["x"] / s["n"], {"x": data, "n": np.ones(20)}, np.ones(20))
    assert interop.to_jackknife(estimate).argmin() == 3
    samples = interop.to_bootstrap(estimate, 4000, rng=1)
    assert stats.skew(samples) > 0.3


# ---- input that is refused


def test_faulty_estimates_are_refused():
    a, b = blocks(1, 16, (2,)), blocks(1, 12, (2,))
    with pytest.raises(InputError, match="16 of estimates\\[0\\] and 12 of estimates\\[1\\]; convert independent"):
        interop.to_gvar([a, b])
    with pytest.raises(InputTypeError, match=r"estimates\['x'\] must be an Estimate; got float"):
        interop.to_gvar({"x": 1.0})
    with pytest.raises(InputTypeError, match="got Correlators; to_pandas"):
        interop.to_gvar(nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 4, 0.2, rng=1))
    with pytest.raises(InputError, match="at least one entry"):
        interop.to_jackknife([])
    with pytest.raises(InputError, match="unknown"):
        interop.to_uncertainties(a * np.array([1.0, np.nan]))
    for convert in (interop.to_gvar, to_pyerrors, interop.to_uncertainties, interop.to_bootstrap):
        with pytest.raises(InputError, match="systematic errors must be finite"):
            convert(a.with_systematic([0.1, np.inf]), systematic="component")
    with pytest.raises(InputError, match="1 block; use more"):
        interop.to_gvar(nnqm.Estimate(1.0, [1.0], [1.0]))


@EACH
def test_faulty_objects_are_refused(package):
    with pytest.raises(InputTypeError, match=f"must be objects of {package}; entry 0 is a float"):
        TOOLS[package][1]([1.0])
    with pytest.raises(InputError, match="at least one entry"):
        TOOLS[package][1]([])


@pytest.mark.parametrize("rng", ["1", 1.5, -1])
def test_faulty_seeds_are_refused(rng):
    theory = nnqm.harmonic_oscillator()
    for call in (
        lambda: interop.to_bootstrap(blocks(1, 16, (2,)), rng=rng),
        lambda: nnqm.Network.random((1, 2, 1), "tanh", rng=rng),
        lambda: nnqm.Density("uniform").sample(3, rng),
        lambda: nnqm.quasi_monte_carlo(theory, rng=rng),
        lambda: nnqm.fit(theory, nnqm.Target(nnqm.learning.SpectralWeights(1), [0.5]), free="omega", rng=rng),
    ):
        with pytest.raises(InputTypeError, match="rng must be an integer"):
            call()


def test_faulty_samples_are_refused():
    with pytest.raises(InputError, match="at least 2 blocks"):
        interop.from_jackknife([1.0])
    with pytest.raises(InputError, match="sizes must be 3 positive"):
        interop.from_jackknife([1.0, 2.0, 3.0], sizes=[1, 2])
    with pytest.raises(InputError, match="value must have the shape"):
        interop.from_jackknife(np.ones((4, 2)), 1.0)
    with pytest.raises(InputError, match="n_samples at least 50"):
        interop.from_bootstrap(np.ones(49))
    with pytest.raises(InputError, match="choose from leave out, refuse"):
        interop.to_jackknife(blocks(1, 8, (1,)).with_systematic(1.0), systematic="component")


@pytest.mark.parametrize("package", TOOLS)
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"pip install {package}"):
        TOOLS[package][0](blocks(1, 8, (1,)))


# ---- one reader


def test_one_correlator_reads_all_of_them():
    run = nnqm.simulate(nnqm.harmonic_oscillator(), 4096, 16, 0.2, rng=1)
    estimate = run.connected()[:6]
    times = 0.2 * np.arange(6)
    for package, (there, _, _) in TOOLS.items():
        given = {"covariance": covariance(estimate), "n_samples": 128 if package == "pyerrors" else None}
        expected = nnqm.OneCorrelator(estimate.value, times, **given).plateau()
        found = nnqm.OneCorrelator(there(estimate), times).plateau()
        assert str(found.gaps) == str(expected.gaps), package
