"""Claims: every mean-square continuous process is a network in time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exact.spectral_measures import kallen_lehmann
from ..runs.simulation import simulate
from ..sampling.measure import Measure
from ..theories.builtin import builtin_theory, harmonic_oscillator
from ..theories.linear_processes import KarhunenLoeveProcess
from ..time_networks.decompose import karhunen_loeve
from ..time_networks.emulate import as_network
from ..time_networks.kernels import Kernel
from .record import Curve, Number, Panel, Record, compared, computed, jointly
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2504.05462"


@claim(
    "kkl-expansion",
    _PAPER,
    "the theorem of Kosambi, Karhunen and Loeve applied to (P1) mean-square continuity and (P2) finite two-point "
    "function",
    "Every process on an interval with a continuous, finite two-point function is a network with one hidden layer: its "
    "neurons are functions of time, its random output weights are uncorrelated.",
)
def kkl_expansion(effort: Effort) -> Record:
    sizes = (5, 10, 20, 40, 80)[: effort.size(5, 4)]
    kernels: dict[str, Any] = {
        "Ornstein-Uhlenbeck": Kernel.ornstein_uhlenbeck(omega=1.0),
        "Matern 3/2": Kernel.matern(1.5),
        "exp(-sqrt|t|)": Kernel.root_exponential(),
        "x^4 oscillator": builtin_theory("anharmonic"),
        "deep tanh network on OU": builtin_theory("deep-tanh"),
    }
    nodes, weights = np.polynomial.legendre.leggauss(400)
    t, w = nodes + 1.0, weights
    numbers, curves = [], []
    for name, kernel in kernels.items():
        expansion = karhunen_loeve(kernel, (0.0, 2.0), sizes[-1])
        left = []
        for n in sizes:
            few = expansion.truncated(n)
            # The same from the neurons themselves, by quadrature of the variance that they leave out.
            seen = float(w @ np.sum(few.basis(t) ** 2, axis=0))
            direct = 1 - seen / expansion.trace
            left.append(few.truncation_error)
            if n in (10, sizes[-1]):
                numbers.append(
                    computed(
                        f"{name}: part of the variance beyond {n} neurons",
                        direct,
                        few.truncation_error,
                        1e-8 + 10 * float(few.errors.sum()) / expansion.trace,
                    )
                )
        curves.append(Curve.of(name, sizes, left, "points"))
    rough = karhunen_loeve(kernels["Ornstein-Uhlenbeck"], (0.0, 2.0), sizes[-1])
    general = karhunen_loeve(lambda s, t: 0.5 * np.exp(-np.abs(s - t)), (0.0, 2.0), 10)
    for k in (0, 4, 9):
        numbers.append(
            computed(
                f"Ornstein-Uhlenbeck: lambda_{k + 1}, general solver beside the closed form",
                float(general.eigenvalues[k]),
                float(rough.eigenvalues[k]),
                float(general.errors[k]) + 1e-13,
            )
        )
    return Record(
        f"interval (0, 2), five kernels, 5 to {sizes[-1]} neurons; quadrature with 400 nodes",
        tuple(numbers),
        "numerical, of the quadrature and of the eigenvalues; no sampling",
        (Panel("What a network of K neurons leaves out", "neurons K", "part of the variance", tuple(curves), "xy"),),
        "The part of the variance that K neurons leave out tends to zero for every kernel; rougher kernels need more.",
    )


@claim(
    "kkl-round-trip",
    _PAPER,
    "universality of the network description; numerical examples",
    "A network that is made of a quantum theory by this expansion and then sampled has the two-point function of the "
    "theory again.",
)
def kkl_round_trip(effort: Effort) -> Record:
    n_modes, n_times, dt = 60, 17, 0.25
    numbers: list[Number] = []
    panels = []
    theories = {"oscillator": harmonic_oscillator(), "deep tanh network": builtin_theory("deep-tanh")}
    lags = np.array([0, 2, 4, 8, 12])
    for i, (name, theory) in enumerate(theories.items()):
        network = as_network(theory, n_modes, (0.0, 4.0))
        run = simulate(
            network,
            effort.size(400_000, 40_000),
            n_times,
            dt,
            rng=effort.rng(i),
            n_threads=effort.n_threads,
            measure=Measure(lags=(), observable_lags=(), increment_lags=(), two_time=True),
        )
        process = network.sources[0]
        assert isinstance(process, KarhunenLoeveProcess)
        t = np.asarray(run.times)
        found = run.two_time_function()[4][4 + lags]
        own = process.two_point(t[4], t[4 + lags])
        exact = kallen_lehmann(theory).two_point(lags * dt)
        numbers.append(jointly(f"{name}: G(t, t + s) at {len(lags)} s, network of {n_modes} neurons", found, own))
        for s in (1, 3):
            tail = abs(float(own[s] - exact[s]))
            within = found[s].with_systematic(tail)
            numbers.append(
                compared(f"{name}: G({lags[s] * dt:g}) of the network, exact of the theory", within, float(exact[s]))
            )
        fine = np.linspace(0, 3, 121)
        panels.append(
            Panel(
                name,
                "lag s",
                "G(s)",
                (
                    Curve.of("theory, exact", fine, kallen_lehmann(theory).two_point(fine)),
                    Curve.of(f"sampled network of {n_modes} neurons", lags * dt, found),
                ),
            )
        )
    return Record(
        f"interval (0, 4), {n_modes} neurons, Gaussian output weights, {effort.size(400_000, 40_000):,} paths",
        tuple(numbers),
        "statistical, jackknife over independent blocks; the second bracket is what the neurons beyond 60 would add",
        tuple(panels),
        "Two-point functions of the sampled networks in time beside the theories that they were made of.",
        ("Gaussian weights give the two-point function only; joint weights give the law of the theory (docs/kkl.md).",),
    )
