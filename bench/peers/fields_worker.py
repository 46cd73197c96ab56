"""A peer of the race of fields in its own process: reads jobs, one JSON object a line, returns seconds or two points.

A job samples the reflection-positive net of two dimensions in chunks of groups that share their momenta, in float32, in
a pool of threads with one library thread each. With ``check`` the answer has the two-point functions of a few chunks.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

Job = dict[str, Any]
Chunk = Callable[[Job, int], Any]


def numpy_peer() -> dict[str, Any]:
    def chunk(job: Job, seed: int) -> Any:
        rng = np.random.Generator(np.random.SFC64(seed))
        g, n, t = job["chunk"], job["width"], job["n_times"]
        reach = np.float32(np.arcsinh(job["cutoff"]))
        k = np.sinh(rng.random((g, n), dtype=np.float32) * reach)
        sign = np.where(rng.random((g, n), dtype=np.float32) < 0.5, np.float32(-1), np.float32(1))
        rate = np.sqrt(k * k + 1)
        decay = np.exp(-rate * np.float32(job["dt"]))
        decay = np.concatenate([decay, decay], axis=1)[:, None]
        noise = np.sqrt(1 - decay * decay)
        angle = (sign * k)[:, :, None] * np.float32(job["points"])
        matrix = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * np.float32(job["amplitude"])
        y = rng.standard_normal((g, t, job["group"], 2 * n), dtype=np.float32)
        for i in range(1, t):
            y[:, i] *= noise
            y[:, i] += decay * y[:, i - 1]
        return (y.reshape(g, t * job["group"], 2 * n) @ matrix).reshape(g, t, job["group"], -1)

    return {"layouts": ["matmul"], "chunk": chunk}


def torch_peer() -> dict[str, Any]:
    import torch

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def chunk(job: Job, seed: int) -> Any:
        torch.set_num_threads(1)
        generator = torch.Generator().manual_seed(seed)
        g, n, t, members = job["chunk"], job["width"], job["n_times"], job["group"]
        # A signed quantile: the direction on a line.
        u = torch.rand(g, n, generator=generator).mul_(2).sub_(1)
        k = torch.sinh(u * float(np.arcsinh(job["cutoff"])))
        decay = torch.exp(torch.sqrt(k * k + 1) * -job["dt"])
        decay = torch.cat([decay, decay], dim=1)
        noise = torch.sqrt(1 - decay * decay)
        angle = k[:, :, None] * torch.tensor(job["points"])
        matrix = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1).mul_(job["amplitude"])
        if job["layout"] == "groups first":
            y = torch.empty(g, t, members, 2 * n).normal_(generator=generator)
            decay, noise = decay[:, None], noise[:, None]
            for i in range(1, t):
                y[:, i].mul_(noise).addcmul_(decay, y[:, i - 1])
            return torch.bmm(y.view(g, t * members, 2 * n), matrix).view(g, t, members, -1)
        y = torch.empty(t, g, members, 2 * n).normal_(generator=generator)
        decay, noise = decay[:, None], noise[:, None]
        for i in range(1, t):
            y[i].mul_(noise).addcmul_(decay, y[i - 1])
        out = torch.empty(t, g, members, matrix.shape[2])
        for i in range(t):
            torch.bmm(y[i], matrix, out=out[i])
        return out.transpose(0, 1)

    return {"layouts": ["groups first", "times first"], "chunk": chunk}


def jax_peer() -> dict[str, Any]:
    from functools import partial

    import jax
    import jax.numpy as jnp

    @partial(jax.jit, static_argnums=1)
    def jitted(key: Any, static: Any, points: Any, amplitude: Any) -> Any:
        g, n, t, members, dt, reach, layout = static
        of_momenta, of_noise = jax.random.split(key)
        k = jnp.sinh(jax.random.uniform(of_momenta, (g, n), minval=-1.0, maxval=1.0) * reach)
        decay = jnp.exp(-jnp.sqrt(k * k + 1) * dt)
        decay = jnp.concatenate([decay, decay], axis=1)[:, None]
        noise = jnp.sqrt(1 - decay * decay)
        angle = k[:, :, None] * points
        matrix = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1) * amplitude
        shape = (g, members, 2 * n)
        if layout.endswith("inside"):

            def step(state: Any, key: Any) -> tuple[Any, Any]:
                new = decay * state + noise * jax.random.normal(key, shape)
                return new, new @ matrix

            first, *_ = keys = jax.random.split(of_noise, t)
            start = jax.random.normal(first, shape)
            later = jax.lax.scan(step, start, keys[1:])[1]
            return jnp.concatenate([(start @ matrix)[None], later])
        draws = jax.random.normal(of_noise, (t, *shape))

        def follow(state: Any, draw: Any) -> tuple[Any, Any]:
            new = decay * state + noise * draw
            return new, new @ matrix

        later = jax.lax.scan(follow, draws[0], draws[1:])[1]
        return jnp.concatenate([(draws[0] @ matrix)[None], later])

    def chunk(job: Job, seed: int) -> Any:
        key = jax.random.key(seed, impl=job["layout"].split()[0])
        static = (job["chunk"], job["width"], job["n_times"], job["group"], job["dt"], float(np.arcsinh(job["cutoff"])))
        out = jitted(key, (*static, job["layout"]), jnp.asarray(job["points"], jnp.float32), job["amplitude"])
        return jnp.swapaxes(out.block_until_ready(), 0, 1) if job.get("check") else out

    layouts = [f"{impl} {where}" for impl in ("threefry2x32", "unsafe_rbg") for where in ("inside", "before")]
    return {"layouts": layouts, "chunk": chunk}


def answer_to(chunk: Chunk, job: Job, warm: set[Any]) -> dict[str, Any]:
    """Seconds of all chunks; or the two-point functions of a job's pairs (lag, point, point), by groups."""
    seeds = [job["seed"] * 1_000_003 + i for i in range(job["chunks"])]
    if job.get("check"):
        found = []
        for seed in seeds:
            phi = np.asarray(chunk(job, seed), np.float64)
            t = job["n_times"]
            products = [phi[:, : t - n, :, a] * phi[:, n:, :, b] for n, a, b in job["pairs"]]
            found.append(np.stack([p.mean(axis=(1, 2)) for p in products], axis=1))
        rows = np.concatenate(found)
        return {"mean": rows.mean(axis=0).tolist(), "error": (rows.std(axis=0, ddof=1) / len(rows) ** 0.5).tolist()}
    if (kind := (job["layout"], job["chunk"])) not in warm:
        # Compilation is not timed.
        chunk(job, 0)
        warm.add(kind)
    clock = time.process_time if job["cpu"] else time.perf_counter
    start = clock()
    with ThreadPoolExecutor(job["threads"]) as pool:
        for _ in pool.map(lambda seed: chunk(job, seed), seeds):
            pass
    return {"seconds": clock() - start}


def main() -> None:
    peer = {"numpy": numpy_peer, "torch": torch_peer, "jax": jax_peer}[sys.argv[1]]()
    print(json.dumps({"ready": sys.argv[1], "layouts": peer["layouts"]}), flush=True)
    warm: set[Any] = set()
    for line in sys.stdin:
        try:
            answer = answer_to(peer["chunk"], json.loads(line), warm)
        except Exception as error:
            # A layout that this machine cannot run is left out by the tuning.
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
