"""Weighted, unequal and piecewise data, replicas: sums against plain NumPy, errors against their scatter."""

import dataclasses
import itertools
import pickle
import re
import signal

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

import nnqm
from harness import assert_consistent, assert_inconsistent, assert_pulls_are_standard
from nnqm.errors import InputError, InputTypeError
from nnqm.sampling import accumulator, block_sums
from nnqm.sampling.weights import weighted_series

TWO = nnqm.default_observables(([0.1, -0.2], [1.1, 0.8], ["x", "p"]), order=3, neurons=2, products=1)
ONE = nnqm.default_observables(([0.1], [1.1], ["x"]), order=3, neurons=0)
SUMS = nnqm.Measure(lags=(0, 1, 3), observable_lags=(1, 2), increment_lags=(1, 2), two_time=True)
PLAIN = nnqm.Measure(lags=(0, 1, 2, 5), observable_lags=(), increment_lags=(1,))


def ou(n_paths, n_times, rho, rng):
    """Stationary Gaussian chains of unit variance, <x(0) x(k)> = rho^k, shape (n_paths, n_times)."""
    noise = np.random.default_rng(rng).normal(size=(n_paths, n_times))
    noise[:, 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise)


def plain_sums(paths, weights, run):
    """All sums of one block in plain NumPy, from paths (path, time, channel) and a weight for each."""
    o = run.observables
    z = (paths[:, :, list(o.columns)].astype(float) - o.shift) / o.scale
    one = np.ones((*z.shape[:2], 1))
    linear = np.concatenate([one, z], axis=2)
    rows = [linear]
    for c, order in enumerate(o.orders):
        h = [one[..., 0], z[..., c]]
        for n in range(2, order + 1):
            h.append((z[..., c] * h[-1] - np.sqrt(n - 1) * h[-2]) / np.sqrt(n))
        rows += [f[..., None] for f in h[2:]]
    if len(o.biases):
        rows.append(np.tanh(z @ np.asarray(o.weights).T + o.biases) - o.centres)
    every = np.concatenate(rows, axis=2)
    for a, b in o.products:
        every = np.concatenate([every, every[..., a : a + 1] * every[..., b : b + 1]], axis=2)
    n_times = z.shape[1]

    def lags(f, steps):
        found = []
        for k in steps:
            a, b = f[:, : n_times - k], f[:, k:]
            both = [np.einsum("p,pti,ptj->ij", weights, u, v) for u, v in ((a, b), (a, a), (b, b))]
            found.append([both[0], both[1] + both[2]])
        return np.array(found)

    steps = [z[:, k:] - z[:, : n_times - k] for k in run.increment_lags]
    square = np.einsum("p,pt,ps->ts", weights, z[..., 0], z[..., 0])
    return {
        "lags": lags(linear, run.lags),
        "observable_lags": lags(every, run.observable_lags),
        "increments": np.array(
            [[[np.einsum("p,pt->", weights, s[..., c] ** n) for n in (2, 4)] for s in steps] for c in range(z.shape[2])]
        ),
        "moments": np.array(
            [[np.einsum("p,pt->", weights, z[..., c] ** n) for n in (1, 2, 3, 4)] for c in range(z.shape[2])]
        ),
        "time_sums": weights @ z[..., 0],
        "two_time": square[np.tril_indices(n_times)],
        "paths": weights.sum(),
    }


def assert_sums(run, block, paths, weights, rtol=1e-9):
    expected = plain_sums(paths, weights, run)
    for name, values in expected.items():
        if name not in run.sums:
            assert name in ("two_time", "time_sums")
            continue
        size = np.abs(values).max() + weights.sum() * run.n_times
        np.testing.assert_allclose(run.sums[name][block], values, rtol=rtol, atol=rtol * size, err_msg=name)


# ---- weights


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    n_paths=st.integers(70, 300),
    n_times=st.integers(6, 40),
    channels=st.integers(1, 2),
    n_blocks=st.integers(2, 9),
    single=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_weighted_sums_are_those_of_numpy(n_paths, n_times, channels, n_blocks, single, seed):
    rng = np.random.default_rng(seed)
    paths = rng.normal(size=(n_paths, n_times, channels)).astype(np.float32 if single else np.float64)
    weights = rng.uniform(0.2, 2.0, n_paths) * (rng.random(n_paths) > 0.1)
    measure = dataclasses.replace(SUMS, observables=ONE if channels == 1 else TWO)
    run = nnqm.accumulate(paths, 0.1, weights=weights, n_blocks=n_blocks, measure=measure, independent=True)
    bounds = [n_paths * b // n_blocks for b in range(n_blocks + 1)]
    np.testing.assert_array_equal(run.block_paths, np.diff(bounds))
    for b in range(n_blocks):
        part = slice(bounds[b], bounds[b + 1])
        assert_sums(run, b, paths[part], weights[part], 1e-5 if single else 1e-11)
    np.testing.assert_allclose(run.effective_sample_size, weights.sum() ** 2 / (weights**2).sum(), rtol=1e-12)
    assert run.n_paths == n_paths


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.float32), (2, np.float64), (1, np.int16)])
def test_long_weighted_paths_in_several_windows(channels, dtype):
    rng = np.random.default_rng(channels)
    paths = (3 * rng.normal(size=(70, 1100, channels))).astype(dtype)
    weights = rng.uniform(0.5, 2.0, 70)
    lags = nnqm.Measure(lags=(0, 7, 600), observable_lags=(1, 500), increment_lags=(2, 700))
    measure = dataclasses.replace(lags, observables=ONE if channels == 1 else TWO)
    run = nnqm.accumulate(paths, 0.1, weights=weights, n_blocks=2, n_threads=2, measure=measure, independent=True)
    assert_sums(run, 1, paths[35:], weights[35:], 1e-4 if dtype == np.float32 else 1e-10)


def test_weights_of_paths_that_are_converted_in_parts():
    # More than is converted at once.
    paths = np.random.default_rng(27).integers(-9, 9, (1100, 2000)).astype(np.int16)
    weights = np.linspace(0.5, 1.5, 1100)
    measure = nnqm.Measure(lags=(0,), observable_lags=(), increment_lags=())
    run = nnqm.accumulate(paths, 0.1, weights=weights, measure=measure, independent=True)
    expected = weights @ paths.mean(axis=1) / weights.sum()
    np.testing.assert_allclose(run.mean().value, expected, rtol=1e-9, atol=1e-12)


def test_equal_weights_are_no_weights():
    x = ou(400, 12, 0.8, 1)
    plain = nnqm.accumulate(x, 0.1, measure=SUMS)
    for size in (1.0, 0.25):
        run = nnqm.accumulate(x, 0.1, weights=np.full(400, size), measure=SUMS)
        assert run.effective_sample_size == pytest.approx(400)
        for estimate in (
            lambda r: r.two_point(), lambda r: r.connected(), lambda r: r.moments(), lambda r: r.two_time_function()[3],
            lambda r: nnqm.quadratic_variation(r),
        ):  # fmt: skip
            np.testing.assert_allclose(estimate(run).value, estimate(plain).value, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(estimate(run).error, estimate(plain).error, rtol=1e-9)


def test_integer_weights_are_repeated_paths():
    x = ou(300, 10, 0.7, 2)
    n = np.random.default_rng(3).integers(0, 3, 300)
    measure = dataclasses.replace(SUMS, observables=ONE)
    run = nnqm.accumulate(x, 0.1, weights=n, measure=measure)
    again = nnqm.accumulate(np.repeat(x, n, axis=0), 0.1, measure=measure, independent=True)
    for estimate in (lambda r: r.mean(), lambda r: r.connected(), lambda r: r.moments(), lambda r: r.kurtosis()):
        np.testing.assert_allclose(estimate(run).value, estimate(again).value, rtol=1e-10, atol=1e-12)


def test_reweighted_paths_have_the_law_of_their_target():
    # Stationary Gaussian paths of rho = 0.6, reweighted to a mean of 0.3 in the coordinate sum over Sigma^-1.
    n_times, rho, shift = 8, 0.6, 0.3
    x = ou(20_000, n_times, rho, 4)
    covariance = rho ** np.abs(np.subtract.outer(np.arange(n_times), np.arange(n_times)))
    tilt = np.linalg.solve(covariance, np.full(n_times, shift))
    log = x @ tilt
    weights = np.exp(log - log.max())
    run = nnqm.accumulate(x, 0.1, weights=weights, measure=PLAIN)
    assert_consistent(run.mean(), shift)
    assert_consistent(run.connected(), rho ** np.array(run.lags))
    assert_consistent(run.two_point(), shift**2 + rho ** np.array(run.lags))
    assert_inconsistent(nnqm.accumulate(x, 0.1, measure=PLAIN).mean(), shift)
    # <w>^2 / <w^2> = exp(-tilt Sigma tilt)
    worth = 20_000 * np.exp(-tilt @ covariance @ tilt)
    assert run.effective_sample_size == pytest.approx(worth, rel=0.1)
    assert any(re.search(rf"20000 paths are worth {run.effective_sample_size:.1f}", note) for note in run.notes)


@pytest.mark.slow
def test_errors_of_weighted_averages_are_calibrated():
    """Configurations y + noise, successive y correlated by rho, reweighted by exp(strength y) to the mean strength."""
    strength, rho, pulls = 0.3, 0.6, []
    for seed in range(80):
        y = ou(1, 2000, rho, (5, seed))[0]
        noise = np.random.default_rng((6, seed)).normal(size=(2000, 4))
        x = y[:, None] + 0.3 * noise
        run = nnqm.accumulate(x[:, :, None], 0.1, weights=np.exp(strength * y), measure=PLAIN_OF_FOUR)
        pulls.append([float(run.mean().pull(strength)), float(run.connected().pull(EXPECTED_OF_FOUR)[1])])
    assert_pulls_are_standard(np.array(pulls)[:, 0])
    assert_pulls_are_standard(np.array(pulls)[:, 1])


PLAIN_OF_FOUR = nnqm.Measure(lags=(0, 1), observable_lags=(), increment_lags=())
EXPECTED_OF_FOUR = np.array([1.09, 1.0])


def test_autocorrelation_is_that_of_the_contributions_of_the_paths():
    rng = np.random.default_rng(26)
    f, w = rng.normal(size=(50, 2)), rng.uniform(0.1, 3, 50)
    contributions = weighted_series(f, w) * w.mean()
    mean = w @ f / w.sum()
    for i in range(50):
        without = np.delete(w, i) @ np.delete(f, i, axis=0) / (w.sum() - w[i])
        np.testing.assert_allclose((without - mean) * (w[i] - w.sum()), contributions[i], rtol=1e-10)


@pytest.mark.slow
def test_weights_of_chunks_lists_and_pieces_agree(tmp_path):
    x = ou(600, 10, 0.7, 7)
    w = np.random.default_rng(8).uniform(0.1, 2.0, 600)
    measure = dataclasses.replace(SUMS, observables=ONE)
    chunks = [slice(i, i + 100) for i in range(0, 600, 100)]
    listed = nnqm.accumulate([x[c] for c in chunks], 0.1, weights=[w[c] for c in chunks], measure=measure)
    assert nnqm.accumulate([x[c] for c in chunks], 0.1, weights=w, measure=measure) == listed
    streamed = nnqm.accumulate((x[c] for c in chunks), 0.1, weights=(w[c] for c in chunks), measure=measure)
    assert streamed == listed
    whole = nnqm.accumulate(x, 0.1, weights=w, measure=measure)
    np.testing.assert_allclose(whole.connected().value, listed.connected().value, rtol=1e-12)
    nnqm.save(listed, tmp_path / "run.nc")
    assert nnqm.load(tmp_path / "run.nc") == listed
    halves = [
        nnqm.accumulate(x[h], 0.1, weights=w[h], n_blocks=5, measure=measure, independent=True)
        for h in (slice(0, 300), slice(300, 600))
    ]
    both = nnqm.merge(halves)
    one = nnqm.accumulate(x, 0.1, weights=w, n_blocks=10, measure=measure, independent=True)
    assert all(np.array_equal(both.sums[name], one.sums[name]) for name in one.sums)
    with pytest.raises(InputError, match=r"differs from runs\[0\] in sums"):
        nnqm.merge([halves[0], nnqm.accumulate(x[300:], 0.1, n_blocks=5, measure=measure, independent=True)])


@pytest.mark.slow
def test_a_report_of_weighted_paths_does_not_use_them_unweighted():
    x = ou(4000, 16, 0.8, 9)
    run = nnqm.accumulate(x, 0.2, weights=np.exp(0.3 * x[:, 0]))
    report = nnqm.analyse(run, paths=x)
    (row,) = [r for r in report.rows if r.quantity == "reflection positivity"]
    assert "equal weight" in row.reason
    assert "4,000 paths" in report.title
    assert any("effective sample size" in note for note in report.notes)


X = ou(400, 12, 0.5, 10)
W = np.random.default_rng(11).uniform(0.5, 1.0, 400)
BAD_WEIGHTS = {
    "negative": (X, np.where(np.arange(400) == 7, -1.0, W), "at least 0; path 7 has -1"),
    "all zero": (X, np.zeros(400), "must not be 0 for all paths"),
    "not finite": (X, np.where(np.arange(400) == 3, np.nan, W), r"finite; weights\[3\]=nan"),
    "too few": (X, W[:-1], "one entry for each of 400 paths; got 399"),
    "two axes": (X, np.ones((400, 12)), "weights must have 1 axes; got 2"),
    "one path has all": (X, np.exp(np.linspace(0, 4000, 400) - 4000), "are worth 1.*give more paths, or weights that"),
    "huge": (X, 1e40 * W, "size near 1.*divide them"),
    "text": (X, ["a"] * 400, "weights must be real"),
    "groups": (X, W, "weights need paths without groups"),
    "few chunks": (iter([X, X]), iter([W]), "an entry for each chunk of paths; got 1"),
    "more than chunks": (iter([X]), iter([W, W]), "got more of them"),
    "an array for chunks": (iter([X]), W, "one array for each chunk"),
    "zero in all chunks": (iter([X, X]), iter([0 * W, 0 * W]), "must not be 0 for all paths"),
    "a few trajectories": (X[:5], W[:5], r"5 paths are worth 4\.\d+"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights_are_refused(name):
    paths, weights, message = BAD_WEIGHTS[name]
    chosen = {"group": 2} if name == "groups" else {}
    if name in ("few chunks", "more than chunks", "zero in all chunks"):
        paths, weights = iter(list(paths)), iter(list(weights))
    with pytest.raises((InputError, InputTypeError), match=message):
        nnqm.accumulate(paths, 0.1, weights=weights, measure=PLAIN, **chosen)


# ---- unequal lengths


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(150, 260), min_size=10, max_size=40),
    channels=st.integers(1, 2),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_sums_of_unequal_trajectories_are_those_of_numpy(lengths, channels, weighted, seed):
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(n, channels)) for n in lengths]
    weights = rng.uniform(0.8, 1.2, len(rows))
    if weighted and len(rows) < 35:
        weighted = False
    measure = dataclasses.replace(SUMS, observables=ONE if channels == 1 else TWO, two_time=False)
    found = nnqm.accumulate(
        [r[None] for r in rows], 0.1, weights=weights if weighted else None, measure=measure, n_blocks=len(rows)
    )
    steps = found.n_times
    counts = [len(r) // steps for r in rows]
    assert steps == min(lengths)
    pieces = np.concatenate([r[: n * steps].reshape(n, steps, channels) for r, n in zip(rows, counts, strict=True)])
    w = np.repeat(weights if weighted else np.ones(len(rows)), counts)
    total = dataclasses.replace(found, sums={n: a.sum(axis=0, keepdims=True) for n, a in found.sums.items()})
    assert_sums(total, 0, pieces, w, 1e-10)


@pytest.mark.slow
def test_thousands_of_short_unequal_trajectories():
    rng = np.random.default_rng(12)
    rows = [r[: rng.integers(20, 26)] for r in ou(4100, 25, 0.8, 13)]
    run = nnqm.accumulate(rows, 0.1, measure=PLAIN)
    assert (run.n_paths, run.n_blocks, run.n_times) == (4100, 128, 20)
    assert_consistent(run.connected(), 0.8 ** np.array(run.lags))


@pytest.mark.slow
def test_batches_of_unequal_paths_are_a_chain():
    slow = ou(1, 8000, 0.9, 14)[0]
    x = slow[:, None] + 0.3 * np.random.default_rng(15).normal(size=(8000, 30))
    measure = nnqm.Measure(lags=(0, 1), observable_lags=(), increment_lags=())
    batches = [x[:3000], x[3000:5000, :20], x[5000:, :25]]
    run = nnqm.accumulate(batches, 0.1, measure=measure)
    assert run.n_times == 20
    assert any("autocorrelation time of successive paths" in n for n in run.notes)
    assert run.n_blocks < 60
    used = np.concatenate([b[:, :20] for b in batches])
    np.testing.assert_allclose(run.mean().value, used.mean(), rtol=1e-10, atol=1e-12)
    w = np.random.default_rng(16).uniform(0.5, 2, 8000)
    run = nnqm.accumulate([*batches[:2], np.tile(batches[2], 2)], 0.1, weights=w, measure=measure)
    tiled = np.concatenate([batches[0][:, :20], batches[1], np.tile(batches[2], 2)[:, :20]])
    counts = np.repeat([1, 1, 2], [3000, 2000, 3000])
    second = np.tile(batches[2], 2)[:, 20:40].mean(axis=1)
    total = (w * tiled.mean(axis=1)).sum() + w[5000:] @ second
    np.testing.assert_allclose(run.mean().value, total / (w * counts).sum(), rtol=1e-10, atol=1e-12)
    # An iterator may have longer paths than the first ones too.
    assert nnqm.accumulate(iter(batches), 0.1, measure=measure).n_times == 20


@pytest.mark.parametrize(
    ("paths", "measure", "message"),
    [
        ([X[0], np.tile(X[1], 9), np.tile(X[2], 8)], nnqm.Measure(lags=(0, 12)), "12 times in trajectory 0"),
        ([np.ones((20, 9)), np.ones((20, 8))], nnqm.Measure(two_time=True), "piece 1 after"),
        ([np.ones((90, 2)), np.ones((80, 3))], PLAIN, "got shapes"),
    ],
)
def test_unequal_paths_that_do_not_fit_are_named(paths, measure, message):
    listed = [p[None] if p.shape == (90, 2) or p.shape == (80, 3) else p for p in paths]
    with pytest.raises(InputError, match=re.compile(message, re.DOTALL)):
        nnqm.accumulate(listed, 0.1, measure=measure)


# ---- pieces


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=2, max_size=30),
    n_times=st.integers(6, 20),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_sums_of_pieces_are_those_of_numpy(sizes, n_times, weighted, seed):
    rng = np.random.default_rng(seed)
    total = sum(sizes)
    x, w = rng.normal(size=(total, n_times, 1)), rng.uniform(0.5, 1.5, total)
    measure = dataclasses.replace(SUMS, observables=ONE)
    accumulator = nnqm.Accumulator(0.1, measure=measure, n_blocks=1, independent=True)
    ends = np.cumsum([0, *sizes])
    for begin, end in itertools.pairwise(ends):
        accumulator.add(x[begin:end], w[begin:end] if weighted else None)
    assert accumulator.n_paths == len(accumulator) == total
    if weighted and total < 80:
        return
    run = accumulator.run()
    assert run.n_blocks == len(sizes)
    assert accumulator.run() == run
    for b, (begin, end) in enumerate(itertools.pairwise(ends)):
        assert_sums(run, b, x[begin:end], w[begin:end] if weighted else np.ones(end - begin), 1e-10)


@pytest.mark.slow
def test_pieces_have_the_bits_of_an_iterator_and_of_an_array():
    x = ou(3000, 12, 0.7, 16)
    accumulator = nnqm.Accumulator(0.1, measure=PLAIN)
    memory = np.empty((100, 12))
    for i in range(0, 3000, 100):
        memory[...] = x[i : i + 100]
        accumulator.add(memory)
        if i == 1000:
            early = accumulator.run()
            resumed = pickle.loads(pickle.dumps(accumulator))
    run = accumulator.run()
    assert run == nnqm.accumulate((x[i : i + 100] for i in range(0, 3000, 100)), 0.1, measure=PLAIN)
    assert early == nnqm.accumulate((x[i : i + 100] for i in range(0, 1100, 100)), 0.1, measure=PLAIN)
    for i in range(1100, 3000, 100):
        resumed.add(x[i : i + 100])
    assert resumed.run() == run
    measure = dataclasses.replace(PLAIN, observables=run.observables)
    blocks = nnqm.Accumulator(0.1, measure=measure, n_blocks=2)
    for i in range(0, 3000, 100):
        blocks.add(x[i : i + 100])
    assert blocks.run() == nnqm.accumulate(x, 0.1, measure=measure, n_blocks=60)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pieces():
    accumulator = nnqm.Accumulator(0.1, measure=nnqm.Measure(lags=(0,), observable_lags=(), increment_lags=()))
    x = np.random.default_rng(17).normal(size=(300, 8))
    sizes = []
    for i in range(600):
        accumulator.add(x)
        if i in (300, 599):
            sizes.append(len(pickle.dumps(accumulator)))
    assert sizes[1] < 1.2 * sizes[0]
    assert accumulator.n_paths == 180_000


@pytest.mark.slow
def test_a_bad_piece_leaves_the_others():
    x = ou(600, 12, 0.7, 18)
    for early in (True, False):
        accumulator = nnqm.Accumulator(0.1, measure=PLAIN)
        pieces = [x[:300], x[300:]] if early else [x[i : i + 20] for i in range(0, 600, 20)]
        for piece in pieces:
            accumulator.add(piece)
            spoilt = piece.copy()
            spoilt[1, 2] = np.nan
            with pytest.raises(InputError, match=r"time step 2, channel 0 is nan"):
                accumulator.add(spoilt)
            with pytest.raises(InputError, match="equal n_times and channels"):
                accumulator.add(np.ones((5, 12, 2)))
        assert accumulator.run() == nnqm.accumulate(iter(pieces), 0.1, measure=PLAIN)


@pytest.mark.slow
def test_stretches_of_trajectories_have_the_bits_of_the_whole():
    x = ou(3, 30_000, 0.9, 19)
    accumulator = nnqm.Accumulator(0.1, measure=PLAIN)
    for begin, end in [(0, 1), (1, 7000), (7000, 7001), (7001, 30_000)]:
        accumulator.extend(x[:, begin:end])
    assert accumulator.run() == nnqm.accumulate(list(x), 0.1, measure=PLAIN)
    assert accumulator.n_paths == 3
    uneven = nnqm.Accumulator(0.1, measure=PLAIN)
    for name, row in zip("abc", x, strict=True):
        uneven.extend(row[:20_000], replica=name)
    uneven.extend(x[0, 20_000:], replica="a")
    rows = {"a": x[0], "b": x[1, :20_000], "c": x[2, :20_000]}
    assert uneven.run() == nnqm.accumulate(rows, 0.1, measure=PLAIN)


@pytest.mark.slow
def test_stretches_beyond_the_memory_lose_no_pairs_at_the_seams():
    x = ou(2, 3_000_000, 0.9, 20)
    accumulator = nnqm.Accumulator(0.1, measure=PLAIN)
    cuts = [0, 3, 1_500_000, 2_600_001, 3_000_000]
    for begin, end in itertools.pairwise(cuts):
        accumulator.extend(x[:, begin:end])
    run = accumulator.run()
    n = 3_000_000 // run.n_times
    pieces = x[:, : n * run.n_times].reshape(-1, run.n_times)
    lagged = [np.mean(pieces[:, : run.n_times - k] * pieces[:, k:]) for k in run.lags]
    np.testing.assert_allclose(run.two_point().value, lagged, rtol=1e-9)
    assert run.n_blocks >= 100
    assert len(pickle.dumps(accumulator)) < 1 << 22
    assert_consistent(run.connected(), 0.9 ** np.array(run.lags))


def test_a_bad_stretch_leaves_the_others():
    x = ou(2, 9000, 0.5, 29)
    accumulator = nnqm.Accumulator(0.1, measure=PLAIN)
    spoilt = x.copy()
    spoilt[1, 7] = np.inf
    for begin in (0, 4500):
        with pytest.raises(InputError, match="path 1 at time step 7, channel 0 is inf"):
            accumulator.extend(spoilt)
        accumulator.extend(x[:, begin : begin + 4500])
    assert accumulator.run() == nnqm.accumulate(list(x), 0.1, measure=PLAIN)
    # A bad first piece does not decide on the weights of the next ones.
    pieces = nnqm.Accumulator(0.1, measure=PLAIN)
    with pytest.raises(InputError, match="is nan"):
        pieces.add(np.where(X > 2, np.nan, X), W)
    pieces.add(X)
    assert pieces.run().n_paths == 400


BAD_PIECES = {
    "nothing": (lambda a: a.run(), "no paths yet"),
    "other channels": (lambda a: (a.add(X), a.add(np.ones((4, 12, 2)))), "equal n_times and channels"),
    "weights for some": (lambda a: (a.add(X, W), a.add(X)), "for all pieces or for none; piece 1"),
    "both ways": (lambda a: (a.add(X), a.extend(X[0])), "extend takes trajectories.*use add"),
    "both ways, the other": (lambda a: (a.extend(X[0]), a.add(X)), "add takes whole paths.*use extend"),
    "another number": (lambda a: (a.extend(X[:2]), a.extend(X[:3])), "continue 2 trajectories; got 3"),
    "channels of stretches": (lambda a: (a.extend(X[:2]), a.extend(np.ones((2, 9, 2)))), "equal channels; got 1 and 2"),
    "replica without name": (lambda a: a.add(X, replica=3), "replica must be a name"),
    "a file name": (lambda a: a.add("paths.npy"), "load it"),
    "another step": (
        lambda a: (a.add(pandas.Series(X[0], index=0.1 * np.arange(12))), a.add(TWICE)),
        "same dt; got 0.2 in piece 1 after 0.1",
    ),
}
TWICE = pandas.Series(X[0], index=0.2 * np.arange(12))


@pytest.mark.parametrize("name", BAD_PIECES)
def test_pieces_that_do_not_fit_are_refused(name):
    call, message = BAD_PIECES[name]
    with pytest.raises((InputError, InputTypeError), match=message):
        call(nnqm.Accumulator(measure=PLAIN))


def test_settings_of_an_accumulator_are_checked():
    with pytest.raises(InputTypeError, match="did you mean n_blocks"):
        nnqm.Accumulator(0.1, n_block=3)
    with pytest.raises(InputError, match="group must be a divisor of 64"):
        nnqm.Accumulator(0.1, group=3)
    with pytest.raises(InputError, match="dt must be positive"):
        nnqm.Accumulator(-0.1)


# ---- replicas


def chains(n_chains, n, rho, rng, width=12):
    slow = ou(n_chains, n, rho, rng)
    return slow[:, :, None] + 0.5 * np.random.default_rng((rng, 1)).normal(size=(n_chains, n, width))


@pytest.mark.slow
def test_replicas_keep_their_names_and_blocks():
    x = chains(3, 4000, 0.9, 21)
    runs = {"hot": x[0], "cold": x[1, :2000], "warm": [x[2, :1000], x[2, 1000:]]}
    run = nnqm.accumulate(runs, 0.1, measure=PLAIN)
    assert [name for name, _ in run.replicas] == ["hot", "cold", "warm"]
    assert sum(n for _, n in run.replicas) == run.n_blocks
    assert run.n_paths == 10_000
    assert dict(run.replicas)["hot"] == pytest.approx(2 * dict(run.replicas)["cold"], abs=2)
    for name, own in (("hot", x[0]), ("cold", x[1, :2000]), ("warm", x[2])):
        part = run.replica(name)
        np.testing.assert_allclose(part.mean().value, own.mean(), rtol=1e-10, atol=1e-12)
        assert part.n_paths == len(own)
    assert_consistent(run.mean(), 0.0)
    assert any(re.search(r"3 independent replicas \(hot, cold, warm\) agree, Q = 0\.\d", n) for n in run.notes)
    assert any("autocorrelation time" in n for n in run.notes)
    streamed = nnqm.accumulate({k: iter(np.split(v, 4)) for k, v in zip("abc", x, strict=True)}, 0.1, measure=PLAIN)
    assert [name for name, _ in streamed.replicas] == ["a", "b", "c"]
    with pytest.raises(InputError, match="hot, cold, warm; got 'ice'"):
        run.replica("ice")


@pytest.mark.slow
def test_replicas_are_saved_and_merged(tmp_path):
    x = chains(2, 1000, 0.5, 22)
    run = nnqm.accumulate({"a": x[0], "b": x[1]}, 0.1, measure=PLAIN)
    nnqm.save(run, tmp_path / "run.nc")
    again = nnqm.load(tmp_path / "run.nc")
    assert again == run
    assert again.replicas == run.replicas
    assert again.replica("b") == run.replica("b")
    both = nnqm.merge([run.replica("a"), run.replica("b")])
    np.testing.assert_array_equal(both.sums["lags"], run.sums["lags"])


@pytest.mark.slow
def test_replicas_of_two_sectors_are_told_apart():
    x = chains(4, 2000, 0.5, 23)
    x[2] += 0.4
    run = nnqm.accumulate(dict(zip("abcd", x, strict=True)), 0.1, measure=PLAIN)
    (note,) = [n for n in run.notes if "replicas" in n]
    assert "differ beyond their errors" in note
    long = ou(4, 20_000, 0.9, 24)
    long[1] *= 1.3
    run = nnqm.accumulate(dict(zip("abcd", long, strict=True)), 0.1, measure=PLAIN)
    assert any("differ beyond their errors" in n for n in run.notes)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ({}, "at least one replica"),
        ({"x": X, "p": X}, r"named x and p are correlated \(r = 1\).*numpy.stack"),
        ({"x": X, "p": X + 0.5 * ou(400, 12, 0.5, 28)}, r"named x and p are correlated \(r = 0.9"),
        ({"a": X, "b": np.ones((400, 12, 2))}, "equal n_times and channels"),
        ({"a": X, "b": "b.npy"}, "load it"),
        ({"a": X, "time": np.arange(12.0)}, "got one path in 'time'"),
    ],
)
def test_replicas_that_do_not_fit_are_refused(paths, message):
    with pytest.raises((InputError, InputTypeError), match=re.compile(message, re.DOTALL)):
        nnqm.accumulate(paths, 0.1, measure=PLAIN)


# ---- tables of pandas


def test_tables_keep_their_names_and_times():
    t = 0.2 * np.arange(2000)
    values = ou(2, 2000, 0.8, 25).T
    plain = nnqm.accumulate(values[None], 0.2, names=["x", "p"], measure=PLAIN)
    assert nnqm.accumulate(pandas.DataFrame(values, index=t, columns=["x", "p"]), measure=PLAIN) == plain
    counted = pandas.DataFrame(values, index=pandas.RangeIndex(2000, name="time"), columns=["x", "p"])
    assert nnqm.accumulate(counted, 0.2, measure=PLAIN) == plain
    columns = pandas.Index(["r1", "r2"], name="replica")
    paths = pandas.DataFrame(values, index=pandas.Index(t, name="time"), columns=columns)
    assert nnqm.accumulate(paths, measure=PLAIN) == nnqm.accumulate(values.T, 0.2, measure=PLAIN)
    one = nnqm.accumulate(pandas.Series(values[:, 0], index=t, name="q"), measure=PLAIN)
    assert (one.channels, one.dt) == (("q",), pytest.approx(0.2))


@pytest.mark.slow
def test_a_table_of_paths_and_times():
    index = pandas.MultiIndex.from_product([range(300), 0.5 * np.arange(12)], names=["path", "time"])
    table = pandas.DataFrame({"x": X[:300].ravel(), "y": -X[:300].ravel()}, index=index)
    run = nnqm.accumulate(table, measure=PLAIN)
    assert run == nnqm.accumulate(np.stack([X[:300], -X[:300]], axis=2), 0.5, names=["x", "y"], measure=PLAIN)
    with pytest.raises(InputError, match="must be named 'path' and 'time'; got a, b"):
        nnqm.accumulate(table.rename_axis(index=["a", "b"]))
    with pytest.raises(InputError, match="datetime64"):
        nnqm.accumulate(pandas.Series(X[0], index=pandas.date_range("2020-01-01", periods=12)))
    with pytest.raises(InputTypeError, match="an index with the name 'time'"):
        nnqm.accumulate(pandas.DataFrame(X))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["add", "extend"])
def test_ctrl_c_leaves_whole_pieces(method, monkeypatch):
    rng = np.random.default_rng(5)
    shape = (40, 32) if method == "add" else (2, 700)
    pieces = [rng.normal(size=shape) for _ in range(6)]
    # Pieces are summed up at once.
    monkeypatch.setattr(accumulator, "_FIRST_BYTES", 1)
    kept, undisturbed = nnqm.Accumulator(0.1), nnqm.Accumulator(0.1)
    summed = block_sums.PathSums.sums

    def press(*arguments, **others):
        signal.raise_signal(signal.SIGINT)
        return summed(*arguments, **others)

    stopped = 0
    for piece in pieces:
        getattr(undisturbed, method)(piece)
        with monkeypatch.context() as patch:
            patch.setattr(block_sums.PathSums, "sums", press)
            try:
                getattr(kept, method)(piece)
            except KeyboardInterrupt:
                stopped += 1
    assert stopped > 0
    assert kept.run() == undisturbed.run()
