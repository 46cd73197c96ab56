"""``simulate`` against the best plain NumPy version of the same job, interleaved, two threads each.

The job: from a seed to the connected two-point function of a 1-16-1 tanh network at 12 lags, with errors from 128
blocks, 102400 paths x 256 times, float32. The NumPy version loops over time, keeps chunks in cache, uses in-place
operations and BLAS, an SFC64 generator per block, and two Python threads with one BLAS thread each; its best chunk
size is searched first. Both answers are checked against the exact function. Only the ratio means anything.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

import nnqm

BLOCKS, DT = 128, 0.2
LAGS = (0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45)


def numpy_block(network: nnqm.Network, seed: int, n_paths: int, n_times: int, chunk: int) -> np.ndarray:
    """Sums of one block: count, sum of A, of B and of AB for every lag."""
    rng = np.random.Generator(np.random.SFC64(seed))
    (w1, w2), (b1, b2) = (
        [np.asarray(a, dtype=np.float32) for a in arrays] for arrays in (network.weights, network.biases)
    )
    rho = np.float32(np.exp(-DT))
    noise = np.float32(np.sqrt(0.5 * -np.expm1(-2 * DT)))
    sums = np.zeros((len(LAGS), 4))
    for first in range(0, n_paths, chunk):
        n = min(chunk, n_paths - first)
        x = np.empty((n_times, n), dtype=np.float32)
        hidden = np.empty((w1.shape[0], n), dtype=np.float32)
        draws = np.empty(n, dtype=np.float32)
        y = rng.standard_normal(n, dtype=np.float32) * np.float32(np.sqrt(0.5))
        for t in range(n_times):
            if t:
                rng.standard_normal(out=draws, dtype=np.float32)
                y *= rho
                draws *= noise
                y += draws
            np.multiply(w1, y, out=hidden)
            hidden += b1[:, None]
            np.tanh(hidden, out=hidden)
            np.dot(w2[0], hidden, out=x[t])
        x += b2[0]
        totals = np.concatenate([[0.0], np.cumsum(x.sum(axis=1, dtype=np.float64))])
        for k, lag in enumerate(LAGS):
            windows = n_times - lag
            product = np.dot(x[:windows].ravel(), x[lag:].ravel())
            sums[k] += (n * windows, totals[windows], totals[-1] - totals[lag], product)
    return sums


def numpy_job(network: nnqm.Network, seed: int, n_paths: int, n_times: int, threads: int, chunk: int):
    sizes = [n_paths * (b + 1) // BLOCKS - n_paths * b // BLOCKS for b in range(BLOCKS)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        work = pool.map(lambda b: numpy_block(network, seed + b, sizes[b], n_times, chunk), range(BLOCKS))
        sums = np.stack(list(work))

    def connected(s):
        count, a, b, product = np.moveaxis(s["sums"], -1, 0)
        return product / count - ((a + b) / (2 * count)) ** 2

    return nnqm.jackknife(connected, {"sums": sums}, sizes)


def nnqm_job(theory: nnqm.Theory, seed: int, n_paths: int, n_times: int, threads: int):
    run = nnqm.simulate(
        theory, n_paths, n_times, DT, rng=seed, n_threads=threads, lags=LAGS, observable_lags=(), increment_lags=()
    )
    return run.connected("x")


def check(name: str, estimate: nnqm.Estimate, exact: np.ndarray) -> None:
    p_value = estimate.consistency(exact)
    if p_value < 1e-6:
        sys.exit(f"{name} is wrong: p = {p_value:.1e}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="fewer paths and repetitions")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    n_paths, n_times, repeat = (10_240, 64, 1) if arguments.toy else (102_400, 256, arguments.repeat)
    network = nnqm.Network.random((1, 16, 1), "tanh", rng=1, weight_std=1.0, bias_std=0.5)
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    exact = nnqm.kallen_lehmann(theory).connected(np.array(LAGS) * DT)

    def timed(job, *args):
        start = time.perf_counter()
        estimate = job(*args)
        return time.perf_counter() - start, estimate

    chunks = (800,) if arguments.toy else (200, 400, 800)
    trial = {c: timed(numpy_job, network, 5, n_paths, n_times, arguments.threads, c)[0] for c in chunks}
    chunk = min(trial, key=trial.__getitem__)
    ours, theirs = [], []
    for i in range(repeat):
        seconds, estimate = timed(nnqm_job, theory, i + 1, n_paths, n_times, arguments.threads)
        ours.append(seconds)
        check("nnqm", estimate, exact)
        seconds, estimate = timed(numpy_job, network, 1000 * (i + 1), n_paths, n_times, arguments.threads, chunk)
        theirs.append(seconds)
        check("numpy", estimate, exact)
    a, b = statistics.median(ours), statistics.median(theirs)
    print(
        f"1-16-1 tanh, {n_paths} x {n_times}, float32, {arguments.threads} threads, "
        f"level {nnqm.build_info()['level']}, median of {repeat}, chunks of {chunk} paths for numpy {np.__version__}"
    )
    print(f"nnqm {a:.3f} s, numpy {b:.3f} s: ratio {b / a:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
