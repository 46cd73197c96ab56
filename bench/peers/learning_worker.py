"""A peer of the races of learning in its own process: reads jobs, one JSON object a line, returns seconds and results.

Two kinds of jobs. "gradient" is the value and the gradient in all weights and biases of a sum of the exact two-point
function over lags, in float64 by a given quadrature rule. "train" draws networks, trains each by full-batch descent and
returns mean and covariance of their outputs, in float32, chunk by chunk in a pool of threads with one library thread
each.
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
Layers = list[tuple[Any, Any]]


class Rule:
    """The quadrature of a job: points (Q, D), their places on the product grid, functions of one axis, and decays.

    S = sum_alpha a_alpha c_alpha^2, with c_alpha = sum_q f(y_q) prod_i H_i[alpha_i, q_i] and
    a_alpha = sum_k u_k exp(-alpha.omega t_k). The limit of a_alpha, from lag 0, is taken from E f^2 instead, so that
    few polynomials are enough.
    """

    def __init__(self, job: Job) -> None:
        self.points = np.array(job["points"])
        self.kept = np.array(job["kept"], dtype=np.int64)
        self.shape = tuple(job["shape"])
        self.functions = np.array(job["functions"])
        decay = [np.exp(-np.outer(job["times"], w * np.arange(len(self.functions)))) for w in job["omega"]]
        letters = "abc"[: len(decay)]
        product = ",".join(["k", *(f"k{x}" for x in letters)]) + "->" + letters
        cotangents, times = np.array(job["cotangents"]), np.array(job["times"])
        self.at_zero = float(cotangents[times == 0].sum())
        self.decays = np.einsum(product, cotangents, *decay) - self.at_zero
        self.node_weights = self.at_zero * np.array(job["node_weights"])

    @property
    def full(self) -> bool:
        return self.kept.size == np.prod(self.shape)


def parameters(job: Job) -> Layers:
    return [(np.array(w), np.array(b)) for w, b in zip(job["weights"], job["biases"], strict=True)]


def flat(gradients: Layers) -> list[float]:
    return list(np.concatenate([np.ravel(np.asarray(part)) for layer in gradients for part in layer]))


def rates_of(job: Job) -> tuple[list[float], list[float]]:
    """Steps of weights and biases of each layer: descent in the standard normal draws behind them."""
    weights = [job["rate"] * s**2 / n for s, n in zip(job["weight_std"], job["widths"][:-1], strict=True)]
    return weights, [job["rate"] * r**2 for r in job["bias_std"]]


def given(job: Job) -> Layers:
    return [(np.float32(w), np.float32(b)) for w, b in job["initial"]]


def numpy_peer() -> dict[str, Any]:
    def gradient(job: Job) -> Callable[[], tuple[float, Layers]]:
        rule, layers = Rule(job), parameters(job)
        spread = "abc"[: len(rule.shape)]
        to = ",".join([spread, *(f"{x.upper()}{x}" for x in spread)]) + "->" + spread.upper()
        back = ",".join([spread.upper(), *(f"{x.upper()}{x}" for x in spread)]) + "->" + spread
        axes = [rule.functions] * len(rule.shape)

        def once() -> tuple[float, Layers]:
            hidden = [rule.points]
            for w, b in layers[:-1]:
                z = hidden[-1] @ w.T
                z += b
                hidden.append(np.tanh(z, out=z))
            w, b = layers[-1]
            grid = np.zeros(np.prod(rule.shape))
            f = hidden[-1] @ w[0] + b[0]
            grid[rule.kept] = f
            c = np.einsum(to, grid.reshape(rule.shape), *axes, optimize=True)
            g = np.einsum(back, 2 * rule.decays * c, *axes, optimize=True).ravel()[rule.kept]
            g = (g + 2 * rule.node_weights * f)[:, None]
            found = []
            for h, (w, _) in zip(hidden[::-1], layers[::-1], strict=True):
                found.append((g.T @ h, g.sum(axis=0)))
                g = (g @ w) * (1 - h * h)
            return float(np.sum(rule.decays * c**2) + rule.node_weights @ f**2), found[::-1]

        return once

    def draw(job: Job, seed: int, n: int) -> Layers:
        rng = np.random.Generator(np.random.SFC64(seed))
        return [
            (
                rng.standard_normal((n, o, i), dtype=np.float32) * np.float32(s / np.sqrt(i)),
                rng.standard_normal((n, o), dtype=np.float32) * np.float32(r),
            )
            for (i, o), s, r in zip(pairwise(job["widths"]), job["weight_std"], job["bias_std"], strict=True)
        ]

    def train(job: Job, seed: int, n: int) -> Any:
        layers = given(job) if "initial" in job else draw(job, seed, n)
        t, x = np.float32(job["points"]), np.float32(job["targets"])
        of_weights, of_biases = rates_of(job)

        def outputs() -> tuple[Any, list[Any]]:
            hidden = [np.broadcast_to(t, (n, 1, t.size))]
            for w, b in layers[:-1]:
                z = w * t if w.shape[2] == 1 else w @ hidden[-1]
                z += b[:, :, None]
                hidden.append(np.tanh(z, out=z))
            w, b = layers[-1]
            return w @ hidden[-1] + b[:, :, None], hidden

        for _ in range(job["steps"]):
            f, hidden = outputs()
            g = f - x
            for i in reversed(range(len(layers))):
                w, b = layers[i]
                step_w = g @ hidden[i].transpose(0, 2, 1)
                step_b = g.sum(axis=2)
                if i:
                    g = (w.transpose(0, 2, 1) @ g) * (1 - hidden[i] ** 2)
                w -= np.float32(of_weights[i]) * step_w
                b -= np.float32(of_biases[i]) * step_b
        return outputs()[0][:, 0]

    return {"gradient": gradient, "train": train, "layouts": {"gradient": ["plain"], "train": ["matmul"]}}


def torch_peer() -> dict[str, Any]:
    import torch

    def gradient(job: Job) -> Callable[[], tuple[float, Layers]]:
        torch.set_num_threads(job["threads"])
        rule = Rule(job)
        layers = [
            (torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)) for w, b in parameters(job)
        ]
        points, kept = torch.tensor(rule.points), torch.tensor(rule.kept)
        functions, decays = torch.tensor(rule.functions), torch.tensor(rule.decays)
        node_weights = torch.tensor(rule.node_weights)
        leaves = [part for layer in layers for part in layer]

        def value(*leaves: Any) -> Any:
            h = points
            for w, b in zip(leaves[:-2:2], leaves[1:-2:2], strict=True):
                h = torch.tanh(torch.addmm(b, h, w.T))
            f = torch.addmv(leaves[-1], h, leaves[-2][0])
            square = torch.dot(node_weights, f * f)
            if not rule.full:
                f = torch.zeros(int(np.prod(rule.shape)), dtype=f.dtype).index_put((kept,), f)
            c = f.view(rule.shape)
            for _ in rule.shape:
                # The axis that is summed comes first, and its coefficients go last.
                c = torch.tensordot(c, functions, ([0], [1]))
            return (decays * c * c).sum() + square

        function = torch.compile(value, dynamic=False) if job["layout"] == "compile" else value

        def once() -> tuple[float, Layers]:
            s = function(*leaves)
            found = torch.autograd.grad(s, leaves)
            return float(s.detach()), list(zip(found[::2], found[1::2], strict=True))

        return once

    def draw(job: Job, seed: int, n: int) -> list[Any]:
        generator = torch.Generator().manual_seed(seed)
        leaves = []
        for (i, o), s, r in zip(pairwise(job["widths"]), job["weight_std"], job["bias_std"], strict=True):
            leaves.append(torch.empty(n, o, i).normal_(0, s / i**0.5, generator=generator))
            leaves.append(torch.empty(n, o, 1).normal_(0, r, generator=generator) if r else torch.zeros(n, o, 1))
        return leaves

    def one_layer(leaves: list[Any], t: Any, x: Any, rates: Any, steps: int) -> Any:
        """One hidden layer: products with the one input and the one output are elementwise, in place."""
        w1, b1, w2, b2 = leaves
        (rate_w1, rate_w2), (rate_b1, rate_b2) = rates
        v, h = w2.transpose(1, 2).contiguous(), torch.empty(*b1.shape[:2], t.numel())
        slope = torch.empty_like(h)
        for step in range(steps + 1):
            torch.addcmul(b1, w1, t, out=h).tanh_()
            g = torch.baddbmm(b2, v.transpose(1, 2), h)
            if step == steps:
                return g
            g -= x
            torch.mul(h, h, out=slope)
            slope.neg_().add_(1).mul_(g).mul_(v)
            v.sub_(torch.bmm(h, g.transpose(1, 2)), alpha=rate_w2)
            b2.sub_(g.sum(2, keepdim=True), alpha=rate_b2)
            w1.sub_(slope @ t[:, None], alpha=rate_w1)
            b1.sub_(slope.sum(2, keepdim=True), alpha=rate_b1)
        return None

    def layers_by_bmm(leaves: list[Any], t: Any, x: Any, rates: Any, steps: int) -> Any:
        weights, biases = leaves[::2], leaves[1::2]
        n, last = len(weights[0]), len(weights) - 1
        hidden = [t.expand(n, 1, -1), *(torch.empty(n, w.shape[1], t.numel()) for w in weights[:-1])]
        slopes = [torch.empty_like(h) for h in hidden]
        for step in range(steps + 1):
            torch.addcmul(biases[0], weights[0], t, out=hidden[1]).tanh_()
            for i in range(1, last):
                torch.baddbmm(biases[i], weights[i], hidden[i], out=hidden[i + 1]).tanh_()
            g = torch.baddbmm(biases[last], weights[last], hidden[last])
            if step == steps:
                return g
            g -= x
            for i in range(last, -1, -1):
                before = g
                if i:
                    torch.mul(hidden[i], hidden[i], out=slopes[i])
                    slopes[i].neg_().add_(1)
                    if i == last:
                        g = slopes[i].mul_(before).mul_(weights[i].transpose(1, 2))
                    else:
                        g = slopes[i].mul_(torch.bmm(weights[i].transpose(1, 2), before))
                    weights[i].baddbmm_(before, hidden[i].transpose(1, 2), alpha=-rates[0][i])
                else:
                    weights[0].sub_(before @ t[:, None], alpha=rates[0][0])
                biases[i].sub_(before.sum(2, keepdim=True), alpha=rates[1][i])
        return None

    def functional_step(leaves: Any, t: Any, x: Any, rates: Any) -> list[Any]:
        """One step without writes in place, for the compiler."""
        weights, biases = leaves[::2], leaves[1::2]
        hidden = [t.expand(len(weights[0]), 1, -1)]
        for i, (w, b) in enumerate(zip(weights[:-1], biases[:-1], strict=True)):
            hidden.append(torch.tanh((w * t if i == 0 else torch.bmm(w, hidden[-1])) + b))
        v = weights[-1].transpose(1, 2)
        g = (v * hidden[-1]).sum(1, keepdim=True) + biases[-1] - x
        new: list[Any] = []
        for i in range(len(weights) - 1, -1, -1):
            step_b = g.sum(2, keepdim=True)
            if i == len(weights) - 1:
                step_w = (hidden[i] * g).sum(2)[:, None]
                below = v * g
            elif i:
                step_w = torch.bmm(g, hidden[i].transpose(1, 2))
                below = torch.bmm(weights[i].transpose(1, 2), g)
            else:
                step_w = (g * t).sum(2, keepdim=True)
            new = [weights[i] - rates[0][i] * step_w, biases[i] - rates[1][i] * step_b, *new]
            if i:
                g = below * (1 - hidden[i] * hidden[i])
        return new

    compiled = torch.compile(functional_step, dynamic=False)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def train(job: Job, seed: int, n: int) -> Any:
        torch.set_num_threads(1)
        leaves = draw(job, seed, n)
        if "initial" in job:
            leaves = [
                torch.tensor(part if k == 0 else part[..., None])
                for layer in given(job)
                for k, part in enumerate(layer)
            ]
        t, x = torch.tensor(job["points"]), torch.tensor(job["targets"])
        rates, steps = rates_of(job), job["steps"]
        if job["layout"] == "compile":
            for _ in range(steps):
                leaves = compiled(leaves, t, x, rates)
            steps = 0
        final = one_layer if len(leaves) == 4 else layers_by_bmm
        return final(leaves, t, x, rates, steps)[:, 0].numpy()

    return {
        "gradient": gradient,
        "train": train,
        "layouts": {"gradient": ["eager", "compile"], "train": ["in place", "compile"]},
    }


def jax_peer() -> dict[str, Any]:
    from functools import partial

    import jax
    import jax.numpy as jnp

    jax.config.update("jax_default_prng_impl", "rbg")
    jax.config.update("jax_enable_x64", True)

    def gradient(job: Job) -> Callable[[], tuple[float, Layers]]:
        rule = Rule(job)
        layers = [(jnp.asarray(w), jnp.asarray(b)) for w, b in parameters(job)]
        points, kept = jnp.asarray(rule.points), jnp.asarray(rule.kept)
        functions, decays = jnp.asarray(rule.functions), jnp.asarray(rule.decays)
        node_weights = jnp.asarray(rule.node_weights)

        def value(layers: Layers) -> Any:
            # Neurons first, so that the points are next to each other in memory, or the points first.
            if job["layout"] == "neurons first":
                h = points.T
                for w, b in layers[:-1]:
                    h = jnp.tanh(w @ h + b[:, None])
                f = layers[-1][0][0] @ h + layers[-1][1][0]
            else:
                h = points
                for w, b in layers[:-1]:
                    h = jnp.tanh(h @ w.T + b)
                f = h @ layers[-1][0][0] + layers[-1][1][0]
            square = node_weights @ (f * f)
            if not rule.full:
                f = jnp.zeros(int(np.prod(rule.shape))).at[kept].set(f, unique_indices=True, indices_are_sorted=True)
            c = f.reshape(rule.shape)
            for _ in rule.shape:
                c = jnp.tensordot(c, functions, ([0], [1]))
            return (decays * c * c).sum() + square

        function = jax.jit(jax.value_and_grad(value))

        def once() -> tuple[float, Layers]:
            s, found = jax.block_until_ready(function(layers))
            return s, found

        return once

    def draw(key: Any, widths: Any, n: int, weight_std: Any, bias_std: Any, lanes: bool) -> Layers:
        keys = iter(jax.random.split(key, 2 * len(widths)))
        layers = []
        for (i, o), s, r in zip(pairwise(widths), weight_std, bias_std, strict=True):
            shapes = ((o, i, n), (o, n)) if lanes else ((n, o, i), (n, o))
            w = jax.random.normal(next(keys), shapes[0], jnp.float32) * jnp.float32(s / i**0.5)
            b = jax.random.normal(next(keys), shapes[1], jnp.float32) * jnp.float32(r)
            layers.append((w, b))
        return layers

    def descend(layers: Layers, outputs: Any, x: Any, rates: Any, steps: int) -> Any:
        """``outputs`` gives values (n, P) and what ``back`` needs for the gradients."""
        forward, backward = outputs

        def step(layers: Any, _: None) -> tuple[Any, None]:
            f, saved = forward(layers)
            found = backward(layers, saved, f - x)
            new = [
                (w - rw * gw, b - rb * gb)
                for (w, b), (gw, gb), rw, rb in zip(layers, found, *(map(jnp.float32, r) for r in rates), strict=True)
            ]
            return new, None

        layers, _ = jax.lax.scan(step, layers, None, length=steps)
        return forward(layers)[0]

    def by_matmul(t: Any) -> Any:
        """Networks first: shapes (n, out, in) and (n, neuron, point), products as batched matrix products."""

        def forward(layers: Layers) -> Any:
            hidden = [t[None, None]]
            for i, (w, b) in enumerate(layers[:-1]):
                hidden.append(jnp.tanh((w * t if i == 0 else w @ hidden[-1]) + b[..., None]))
            w, b = layers[-1]
            return (w[:, 0, :, None] * hidden[-1]).sum(1) + b, hidden

        def backward(layers: Layers, hidden: Any, residual: Any) -> Any:
            g, found = residual[:, None], []
            for i in reversed(range(len(layers))):
                w = layers[i][0]
                if i == len(layers) - 1:
                    step = (g * hidden[i]).sum(2)[:, None]
                    below = w[:, 0, :, None] * g
                elif i:
                    step = g @ hidden[i].swapaxes(1, 2)
                    below = w.swapaxes(1, 2) @ g
                else:
                    step = (g * t).sum(2, keepdims=True)
                found.append((step, g.sum(2)))
                if i:
                    g = below * (1 - hidden[i] ** 2)
            return found[::-1]

        return forward, backward

    def by_lanes(t: Any) -> Any:
        """Networks last, in the lanes of vectors: shapes (out, in, n) and (neuron, point, n), products unrolled."""

        def forward(layers: Layers) -> Any:
            hidden = [t[None, :, None]]
            for i, (w, b) in enumerate(layers[:-1]):
                z = b[:, None] + w[:, 0, None] * (t[:, None] if i == 0 else hidden[-1][0])
                for j in range(1, w.shape[1]):
                    z = z + w[:, j, None] * hidden[-1][j]
                hidden.append(jnp.tanh(z))
            w, b = layers[-1]
            return (w[0][:, None] * hidden[-1]).sum(0) + b[0], hidden

        def backward(layers: Layers, hidden: Any, residual: Any) -> Any:
            g, found = residual[None], []
            for i in reversed(range(len(layers))):
                w = layers[i][0]
                if i == len(layers) - 1:
                    step = (g * hidden[i]).sum(1)[None]
                    below = w[0][:, None] * g
                elif i:
                    step = sum(g[:, None, p] * hidden[i][None, :, p] for p in range(t.size))
                    below = sum(w[k][:, None] * g[k] for k in range(w.shape[0]))
                else:
                    step = (g * t[:, None]).sum(1)[:, None]
                found.append((step, g.sum(1)))
                if i:
                    g = below * (1 - hidden[i] ** 2)
            return found[::-1]

        return forward, backward

    def by_vmap(layers: Layers, t: Any, x: Any, rates: Any, steps: int) -> Any:
        """The plain way: the gradient of one network by autograd, vmapped."""

        def outputs(layers: Layers) -> Any:
            h = t[:, None]
            for w, b in layers[:-1]:
                h = jnp.tanh(h @ w.T + b)
            return (h @ layers[-1][0].T + layers[-1][1])[:, 0]

        def loss(layers: Layers) -> Any:
            return ((outputs(layers) - x) ** 2).sum() / 2

        def one(layers: Layers) -> Any:
            def step(layers: Any, _: None) -> tuple[Any, None]:
                found = jax.grad(loss)(layers)
                new = [
                    (w - jnp.float32(rw) * gw, b - jnp.float32(rb) * gb)
                    for (w, b), (gw, gb), rw, rb in zip(layers, found, *rates, strict=True)
                ]
                return new, None

            return outputs(jax.lax.scan(step, layers, None, length=steps)[0])

        return jax.vmap(one)(layers)

    @partial(jax.jit, static_argnums=(1, 2, 3))
    def chunk(key: Any, static: Any, n: int, layout: str, t: Any, x: Any, initial: Any) -> Any:
        widths, weight_std, bias_std, rates, steps = static
        lanes = layout == "lanes"
        layers = draw(key, widths, n, weight_std, bias_std, lanes)
        if initial is not None:
            layers = [(jnp.moveaxis(w, 0, -1), b.T) if lanes else (w, b) for w, b in initial]
        if layout == "vmap":
            return by_vmap(layers, t, x, rates, steps)
        if lanes:
            return descend(layers, by_lanes(t), x[:, None], rates, steps).T
        return descend(layers, by_matmul(t), x, rates, steps)

    def train(job: Job, seed: int, n: int) -> Any:
        rates = tuple(map(tuple, rates_of(job)))
        static = (tuple(job["widths"]), tuple(job["weight_std"]), tuple(job["bias_std"]), rates, job["steps"])
        t, x = jnp.asarray(job["points"], jnp.float32), jnp.asarray(job["targets"], jnp.float32)
        initial = given(job) if "initial" in job else None
        return np.asarray(chunk(jax.random.key(seed), static, n, job["layout"], t, x, initial))

    return {
        "gradient": gradient,
        "train": train,
        "layouts": {"gradient": ["points first", "neurons first"], "train": ["matmul", "lanes", "vmap"]},
    }


def time_gradient(peer: dict[str, Any], job: Job, stored: dict[str, Any]) -> dict[str, Any]:
    """Median seconds of one gradient; the preparation of the rule and the compilation are not timed."""
    if stored.get("job") != job:
        stored.update(job=job, once=peer["gradient"](job))
        stored["once"]()
    seconds = []
    for _ in range(job["repeat"]):
        start = time.perf_counter()
        stored["once"]()
        seconds.append(time.perf_counter() - start)
    value, gradients = stored["once"]()
    parts = [
        tuple(np.asarray(part.detach() if hasattr(part, "detach") else part) for part in layer) for layer in gradients
    ]
    return {"seconds": float(np.median(seconds)), "value": float(value), "gradient": flat(parts)}


def train(peer: dict[str, Any], job: Job, warm: set[Any]) -> dict[str, Any]:
    """Mean and covariance of the outputs of trained networks, chunks in a pool of threads."""
    if "initial" in job:
        return {"outputs": np.asarray(peer["train"](job, 0, len(job["initial"][0][0])), np.float64).tolist()}

    def part(first: int) -> tuple[Any, Any]:
        f = np.asarray(peer["train"](job, job["seed"] * 1_000_003 + first, job["chunk"]), np.float64)
        return f.sum(axis=0), f.T @ f

    kind = (job["layout"], job["chunk"], tuple(job["widths"]))
    if kind not in warm:
        # Compilation is not timed.
        part(0)
        warm.add(kind)
    clock = time.process_time if job["cpu"] else time.perf_counter
    start = clock()
    with ThreadPoolExecutor(job["threads"]) as pool:
        parts = list(pool.map(part, range(0, job["n"], job["chunk"])))
    n = len(parts) * job["chunk"]
    mean, square = (sum(p[k] for p in parts) / n for k in (0, 1))
    covariance = square - np.outer(mean, mean)
    seconds = clock() - start
    return {"seconds": seconds, "mean": mean.tolist(), "covariance": covariance.tolist()}


def main() -> None:
    peer = {"numpy": numpy_peer, "torch": torch_peer, "jax": jax_peer}[sys.argv[1]]()
    print(json.dumps({"ready": sys.argv[1], "layouts": peer["layouts"]}), flush=True)
    stored: dict[str, Any] = {}
    warm: set[Any] = set()
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = time_gradient(peer, job, stored) if job["kind"] == "gradient" else train(peer, job, warm)
        except Exception as error:
            # A layout that this machine cannot run is left out by the tuning.
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
