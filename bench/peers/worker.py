"""A peer of the benchmarks in its own process: reads jobs, one JSON object a line, and returns seconds and results.

All peers compute the same in chunks of paths: from a seed block sums of x(t) x(s), or of products of observables. They
use a pool of Python threads with one library thread each, the fastest configuration of each library on few cores.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

Job = dict[str, Any]
Chunk = Callable[[Job, int, int, int], tuple[Any, ...]]


def constants(job: Job) -> tuple[np.float32, np.float32, np.float32]:
    """Decay, noise and stationary standard deviation of the process with omega = sigma = 1."""
    rho = np.exp(-job["dt"])
    stationary = np.sqrt(0.5)
    return np.float32(rho), np.float32(stationary * np.sqrt(1 - rho**2)), np.float32(stationary)


def layers(job: Job) -> list[tuple[Any, Any]]:
    return [(np.float32(w), np.float32(b)) for w, b in zip(job["weights"], job["biases"], strict=True)]


def numpy_peer() -> dict[str, Chunk]:
    def process(job: Job, seed: int, n: int, out: Any = None) -> tuple[Any, Any]:
        rng = np.random.Generator(np.random.SFC64(seed))
        rho, noise, stationary = constants(job)
        y = np.empty((job["n_times"], n), np.float32) if out is None else out
        rng.standard_normal(out=y, dtype=np.float32)
        y[0] *= stationary
        y[1:] *= noise
        draws = np.empty(n, np.float32)
        for t in range(1, len(y)):
            np.multiply(y[t - 1], rho, out=draws)
            y[t] += draws
        return y, rng

    def two_time(x: Any) -> tuple[Any, ...]:
        return x @ x.T, x.sum(axis=1, dtype=np.float64)

    def network(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, _ = process(job, seed, n)
        x = np.empty_like(y)
        (w1, b1), *inner, (w2, b2) = layers(job)
        for t in range(len(y)):
            h = w1 * y[t]
            h += b1[:, None]
            np.tanh(h, out=h)
            for w, b in inner:
                h = w @ h
                h += b[:, None]
                np.tanh(h, out=h)
            np.dot(w2[0], h, out=x[t])
        x += b2
        return two_time(x)

    def own(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, rng = process(job, seed, n)
        widths = job["widths"]
        hidden = y.T[:, :, None]
        for i, (a, b) in enumerate(pairwise(widths)):
            w = rng.standard_normal((n, a, b), dtype=np.float32) / np.float32(np.sqrt(a))
            hidden = hidden * w if a == 1 else hidden @ w
            if i + 2 < len(widths):
                np.tanh(hidden, out=hidden)
        return two_time(np.ascontiguousarray(hidden[:, :, 0].T))

    def ou(job: Job, seed: int, n: int, first: int) -> tuple[Any, ...]:
        process(job, seed, n, job["store"][first // job["chunk"]])
        return ()

    def matrix(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, _ = process(job, seed, n)
        z = y / constants(job)[2]
        w, b, orders = np.float32(job["neurons"]), np.float32(job["neuron_biases"]), job["orders"]
        f = np.empty((len(z), 1 + orders + len(w), n), np.float32)
        f[:, 0] = 1
        f[:, 1] = z
        for k in range(1, orders):
            f[:, k + 1] = (z * f[:, k] - np.float32(np.sqrt(k)) * f[:, k - 1]) / np.float32(np.sqrt(k + 1))
        np.tanh(w[:, None] * z[:, None] + b[:, None], out=f[:, 1 + orders :])
        g = np.ascontiguousarray(f.transpose(1, 0, 2))
        flat, sums = g.reshape(len(g[:, 0]), -1), []
        for lag in job["lags"]:
            later, earlier = flat[:, lag * n :], flat[:, : flat.shape[1] - lag * n]
            sums += [earlier @ later.T, earlier @ earlier.T + later @ later.T]
        return (np.stack(sums),)

    return {"network": network, "own": own, "ou": ou, "matrix": matrix}


def torch_peer() -> dict[str, Chunk]:
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    linear = torch.ops.mkldnn._linear_pointwise

    def process(job: Job, seed: int, n: int, out: Any = None) -> tuple[Any, Any]:
        generator = torch.Generator().manual_seed(seed)
        rho, noise, stationary = (float(c) for c in constants(job))
        y = torch.empty(job["n_times"], n) if out is None else out
        y.normal_(generator=generator)
        y[0] *= stationary
        y[1:] *= noise
        rows = y.unbind(0)
        for t in range(1, len(rows)):
            rows[t].add_(rows[t - 1], alpha=rho)
        return y, generator

    def two_time(x: Any) -> tuple[Any, ...]:
        return (x @ x.T).numpy(), x.sum(1, dtype=torch.float64).numpy()

    def network(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, _ = process(job, seed, n)
        x = torch.empty_like(y)
        parameters = [(torch.from_numpy(w), torch.from_numpy(b)) for w, b in layers(job)]
        rows = max(1, 4096 // n)
        for t in range(0, len(y), rows):
            h = y[t : t + rows].reshape(-1, 1)
            for w, b in parameters[:-1]:
                h = linear(h, w, b, "tanh", [], "")
            x[t : t + rows] = torch.nn.functional.linear(h, *parameters[-1]).view(-1, n)
        return two_time(x)

    def own(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, generator = process(job, seed, n)
        widths = job["widths"]
        h = y.T.contiguous()[:, :, None]
        for i, (a, b) in enumerate(pairwise(widths)):
            w = torch.empty(n, a, b).normal_(0, a**-0.5, generator=generator)
            h = h * w if a == 1 else torch.bmm(h, w)
            if i + 2 < len(widths):
                h.tanh_()
        return two_time(h[:, :, 0].T.contiguous())

    def ou(job: Job, seed: int, n: int, first: int) -> tuple[Any, ...]:
        process(job, seed, n, torch.from_numpy(job["store"][first // job["chunk"]]))
        return ()

    def matrix(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        y, _ = process(job, seed, n)
        z = (y / float(constants(job)[2])).reshape(-1)
        w, b = torch.tensor(job["neurons"]), torch.tensor(job["neuron_biases"])
        rows = [torch.ones_like(z), z]
        for k in range(1, job["orders"]):
            rows.append((z * rows[k] - k**0.5 * rows[k - 1]) / (k + 1) ** 0.5)
        f = torch.cat([torch.stack(rows), torch.addmm(b[:, None], w[:, None], z[None]).tanh_()])
        sums = []
        for lag in job["lags"]:
            later, earlier = f[:, lag * n :], f[:, : f.shape[1] - lag * n]
            sums += [earlier @ later.T, earlier @ earlier.T + later @ later.T]
        return (torch.stack(sums).numpy(),)

    return {"network": network, "own": own, "ou": ou, "matrix": matrix}


def jax_peer() -> dict[str, Chunk]:
    from functools import partial

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_default_prng_impl", "rbg")

    def process(key: Any, n: int, n_times: int, rho: Any, noise: Any, stationary: Any) -> Any:
        draws = jax.random.normal(key, (n_times, n), jnp.float32)

        def step(y: Any, xi: Any) -> tuple[Any, Any]:
            y = rho * y + noise * xi
            return y, y

        first = stationary * draws[0]
        _, rest = jax.lax.scan(step, first, draws[1:], unroll=8)
        return jnp.concatenate([first[None], rest])

    def two_time(x: Any) -> tuple[Any, Any]:
        return x @ x.T, x.sum(axis=1)

    @partial(jax.jit, static_argnums=(1, 2))
    def network_chunk(key: Any, n: int, n_times: int, rho: Any, noise: Any, stationary: Any, parameters: Any) -> Any:
        y = process(key, n, n_times, rho, noise, stationary)

        def outputs(row: Any) -> Any:
            (w1, b1), *inner, (w2, b2) = parameters
            h = jnp.tanh(w1 * row + b1[:, None])
            for w, b in inner:
                h = jnp.tanh(w @ h + b[:, None])
            return (w2 @ h)[0] + b2[0]

        return two_time(jax.lax.map(outputs, y))

    @partial(jax.jit, static_argnums=(1, 2, 6))
    def own_chunk(key: Any, n: int, n_times: int, rho: Any, noise: Any, stationary: Any, widths: Any) -> Any:
        first, *keys = jax.random.split(key, len(widths))
        y = process(first, n, n_times, rho, noise, stationary)
        h = y.T[:, :, None]
        for i, (a, b) in enumerate(pairwise(widths)):
            w = jax.random.normal(keys[i], (n, a, b), jnp.float32) / a**0.5
            h = h * w if a == 1 else h @ w
            if i + 2 < len(widths):
                h = jnp.tanh(h)
        return two_time(h[:, :, 0].T)

    @partial(jax.jit, static_argnums=(1, 2))
    def ou_chunk(key: Any, n: int, n_times: int, rho: Any, noise: Any, stationary: Any) -> Any:
        return process(key, n, n_times, rho, noise, stationary)

    @partial(jax.jit, static_argnums=(1, 2, 6, 7))
    def matrix_chunk(
        key: Any, n: int, n_times: int, rho: Any, noise: Any, stationary: Any, lags: Any, orders: int, w: Any, b: Any
    ) -> Any:
        z = process(key, n, n_times, rho, noise, stationary).reshape(-1) / stationary
        rows = [jnp.ones_like(z), z]
        for k in range(1, orders):
            rows.append((z * rows[k] - k**0.5 * rows[k - 1]) / (k + 1) ** 0.5)
        f = jnp.concatenate([jnp.stack(rows), jnp.tanh(w[:, None] * z + b[:, None])])
        sums = []
        for lag in lags:
            later, earlier = f[:, lag * n :], f[:, : f.shape[1] - lag * n]
            sums += [earlier @ later.T, earlier @ earlier.T + later @ later.T]
        return jnp.stack(sums)

    def arguments(job: Job, seed: int, n: int) -> tuple[Any, ...]:
        return jax.random.key(seed), n, job["n_times"], *constants(job)

    def network(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        return tuple(np.asarray(a) for a in network_chunk(*arguments(job, seed, n), layers(job)))

    def own(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        return tuple(np.asarray(a) for a in own_chunk(*arguments(job, seed, n), tuple(job["widths"])))

    def ou(job: Job, seed: int, n: int, first: int) -> tuple[Any, ...]:
        job["store"][first // job["chunk"]] = np.asarray(ou_chunk(*arguments(job, seed, n)))
        return ()

    def matrix(job: Job, seed: int, n: int, _: int) -> tuple[Any, ...]:
        w, b = np.float32(job["neurons"]), np.float32(job["neuron_biases"])
        return (np.asarray(matrix_chunk(*arguments(job, seed, n), tuple(job["lags"]), job["orders"], w, b)),)

    return {"network": network, "own": own, "ou": ou, "matrix": matrix}


def gemm_rate() -> float:
    """Multiply-adds per second of a float32 matrix product in cache, the practical limit."""
    a = np.random.default_rng(1).standard_normal((384, 384), dtype=np.float32)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        np.dot(a, a)
        seconds.append(time.perf_counter() - start)
    return float(len(a) ** 3 / min(seconds))


def perform(chunks: dict[str, Chunk], job: Job, stored: dict[str, Any]) -> dict[str, Any]:
    """Run a job: blocks are distributed over threads, and the chunks of a block are added in double precision."""
    if job["kind"] == "gemm":
        return {"rate": gemm_rate()}
    n_blocks, chunk = job["n_blocks"], job["chunk"]
    per_block = job["n_paths"] // n_blocks
    if job["kind"] == "ou":
        # Written in place and allocated once, so that page faults are not timed.
        shape = (job["n_paths"] // chunk, job["n_times"], chunk)
        if "store" not in stored or stored["store"].shape != shape:
            stored["store"] = np.empty(shape, np.float32)
        job["store"] = stored["store"]

    def block(i: int) -> list[Any]:
        total: list[Any] = []
        for first in range(0, per_block, chunk):
            n = min(chunk, per_block - first)
            part = chunks[job["kind"]](job, job["seed"] * 1_000_003 + i * per_block + first, n, i * per_block + first)
            parts = [np.asarray(p, np.float64) for p in part]
            total = parts if not total else [a + b for a, b in zip(total, parts, strict=True)]
        return total

    clock = time.process_time if job["cpu"] else time.perf_counter
    start = clock()
    with ThreadPoolExecutor(job["threads"]) as pool:
        blocks = list(pool.map(block, range(n_blocks)))
    answer: dict[str, Any]
    if job["kind"] in ("network", "own"):
        answer = lagged(np.stack([b[0] for b in blocks]), np.stack([b[1] for b in blocks]), per_block, job["lags"])
    elif job["kind"] == "matrix":
        sums = np.stack([b[0] for b in blocks])
        mean = sums.sum(0)[1::2] / (2 * sums.sum(0)[1::2, :1, :1])
        answer = {"value": mean[0].diagonal().tolist()}
    else:
        answer = {}
    answer["seconds"] = clock() - start
    if job["kind"] == "ou":
        y = job["store"].astype(np.float64)
        answer["value"] = [float((y**2).mean()), float((y[:, 1:] * y[:, :-1]).mean())]
    return answer


def lagged(products: Any, sums: Any, per_block: int, lags: list[int]) -> dict[str, Any]:
    """C[T,T] and C[lag], both connected and with delete-one errors, from block sums."""
    n = len(products)

    def connected(p: Any, m: Any, count: float) -> tuple[Any, Any]:
        mean = m / count
        both = p / count - mean[..., :, None] * mean[..., None, :]
        average = mean.mean(axis=-1)
        raw = p / count
        lag = [np.diagonal(raw, k, -2, -1).mean(axis=-1) - average**2 for k in lags]
        return both, np.stack(lag, axis=-1)

    full, value = connected(products.sum(0), sums.sum(0), per_block * n)
    less, replicas = connected(products.sum(0) - products, sums.sum(0) - sums, per_block * (n - 1))
    error = np.sqrt((n - 1) * replicas.var(axis=0))
    largest = float(np.sqrt((n - 1) * less.var(axis=0)).max())
    return {"value": value.tolist(), "error": error.tolist(), "first": float(full[0, 0]), "largest": largest}


def main() -> None:
    name = sys.argv[1]
    chunks = {"numpy": numpy_peer, "torch": torch_peer, "jax": jax_peer}[name]()
    print(json.dumps({"ready": name}), flush=True)
    stored: dict[str, Any] = {}
    for line in sys.stdin:
        print(json.dumps(perform(chunks, json.loads(line), stored)), flush=True)


if __name__ == "__main__":
    main()
