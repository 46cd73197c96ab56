"""Claims: how training changes a quantum system, and trained ensembles beside their exact limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..exact.spectral_measures import kallen_lehmann
from ..learning.dynamics import training_dynamics
from ..learning.fit import fit
from ..learning.infinite_width import InfiniteWidth, LinearModel
from ..learning.observables import SpectralWeights
from ..learning.targets import Target
from ..learning.trajectory import Trajectory
from ..sampling.paths import sample_paths
from ..statistics.estimate import Estimate, jackknife
from ..theories.networks import Network, RandomNetwork
from ..theories.sources import OrnsteinUhlenbeck, Times
from ..theories.theory import Theory
from ..theories.training import GradientDescent
from ..verdict import Verdict
from .record import (
    REFUTED,
    Curve,
    Number,
    Panel,
    Record,
    below,
    by_test,
    compared,
    computed,
    measured,
    refuted,
)
from .registry import Effort, claim

__all__: list[str] = []

_POINTS, _TARGETS = (-1.0, -0.3, 0.4, 1.2), (0.5, -0.2, 0.1, 0.8)


@claim(
    "training-levels",
    "2504.05462",
    "deep NN-QM under training (a consequence of its construction)",
    "Training a network on a fixed Ornstein-Uhlenbeck input moves spectral weights and no level, and never loses "
    "reflection positivity.",
)
def training_levels(effort: Effort) -> Record:
    wanted = (0.5, 0.25, 0.15, 0.1)
    start = Theory(OrnsteinUhlenbeck(omega=1.0), Network.random((1, 8, 1), rng=1, bias_std=0.5))
    target = Target(SpectralWeights(4), wanted, tolerance=0.01)
    steps = effort.size(3000, 600)
    found = fit(start, target, method="gradient-descent", rate=3e-5, steps=steps)
    trajectory = found.trajectory.thinned(14)
    measures = [kallen_lehmann(theory) for theory in trajectory.theories]
    energies = np.array([m.energies[:4] for m in measures])
    weights = np.array([m.weights[:4] for m in measures])
    off = float(np.abs(energies - np.arange(1, 5)).max())
    numbers = [
        computed(f"largest move of four levels in {steps:,} steps, unit hbar omega", off, 0.0, 1e-12),
        Number(
            "lowest spectral weight at any step",
            Verdict.POSITIVE_BY_CONSTRUCTION,
            float(weights.min()) >= 0,
            float(weights.min()),
            remark="a square: not negative",
        ),
    ]
    change = float(np.abs(weights[-1] - weights[0]).max())
    numbers.append(
        Number("largest change of a spectral weight", Verdict.HOLDS, change > 0.01, change, remark="weights do move")
    )
    before, after = (float(np.abs(w - wanted).max()) for w in (weights[0], weights[-1]))
    numbers.append(
        Number(
            "largest deviation from the wanted weights, after over before",
            Verdict.HOLDS,
            after < before,
            after / before,
            remark="below 1: the training approaches its target",
        )
    )
    steps_shown = np.maximum(np.array(trajectory.steps, dtype=float), 1)
    curves = [Curve.of(f"n = {n + 1}", steps_shown, weights[:, n]) for n in range(4)]
    curves += [
        Curve.of("wanted" if n == 0 else "", steps_shown[[0, -1]], [w, w], "dotted") for n, w in enumerate(wanted)
    ]
    return Record(
        f"1-8-1 tanh on omega = 1; gradient descent to the weights {wanted}, rate 3e-5, {steps:,} steps",
        tuple(numbers),
        "exact at every step; no sampling",
        (Panel("Spectral weights during training", "step", "|<0|x|n>|^2", tuple(curves), "x"),),
        "Weights move to the wanted ones (dotted); the levels stay.",
    )


@claim(
    "training-positivity",
    "2504.05462",
    "parameter splitting, under training",
    "Ensembles of networks with parameters split at t = 0 stay reflection positive while they are trained; "
    "networks of t "
    "that are not split never become so.",
)
def training_positivity(effort: Effort) -> Record:
    t = np.array([0.1, 0.3, 0.6, 0.9, 1.2])
    data = GradientDescent(t, np.sin(2 * t), rate=0.1, steps=0)
    both_sides = GradientDescent([*-t, *t], np.sin(2 * np.tile(t, 2)), rate=0.05, steps=0)
    layers: dict[str, Any] = {"weight_std": 1.5, "bias_std": 0.5}
    split = Theory(
        Times(reflected=True), RandomNetwork((1, 32, 1), "tanh", **layers, shared=[True, False], training=data)
    )
    plain = Theory(Times(), RandomNetwork((1, 32, 1), "tanh", **layers, training=both_sides))
    steps = [0, 10, 100, 1000][: effort.size(4, 3)]
    n_paths = effort.size(4000, 2000)
    times = np.linspace(-1.5, 1.5, 13)
    numbers, curves = [], []
    for i, (name, theory) in enumerate({"split network": split, "tanh network of t": plain}.items()):
        found = training_dynamics(
            Trajectory.of_ensemble(theory, steps), n_levels=2, times=times, rng=effort.rng(i), n_paths=n_paths
        )
        p_values = np.asarray(found.p_values, dtype=float)
        for step, p in zip(steps, p_values, strict=True):
            quantity = f"{name}, after {step} steps: reflection positivity"
            numbers.append(by_test(quantity, p) if i == 0 else refuted(quantity, p))
        curves.append(Curve.of(name, np.maximum(steps, 1), np.maximum(p_values, 1e-40), "points"))
    curves.append(Curve.of("refuted below", [1, max(steps)], [REFUTED, REFUTED], "dotted"))
    return Record(
        f"1-32-1 tanh ensembles trained on sin(2|t|) at five times; {n_paths:,} networks at 13 times",
        tuple(numbers),
        "p-values of tests on paths, with other paths at each step",
        (
            Panel(
                "p-value of reflection positivity",
                "step (0 is drawn at 1)",
                "p-value (1e-40 and less at the bottom)",
                tuple(curves),
                "xy",
            ),
        ),
        "The split ensemble is consistent with positivity at every step, the other one at none.",
    )


@claim(
    "infinite-width",
    "1902.06720",
    "linearised dynamics of wide networks in closed form",
    "The mean of an ensemble of networks under gradient descent tends to the closed form of infinite width, with "
    "a deviation "
    "of order 1/width.",
)
def infinite_width(effort: Effort) -> Record:
    training = GradientDescent(_POINTS, _TARGETS, rate=0.2, steps=5)
    times = np.array([-1.5, 0.1, 1.5])
    widths = (16, 64, 256)
    numbers: list[Number] = []
    deviations: list[Estimate] = []
    for i, width in enumerate(widths):
        network = RandomNetwork((1, width, 1), "erf", weight_std=[1.5, 1.0], bias_std=[0.5, 0.0], training=training)
        model = InfiniteWidth(network)
        n_networks = effort.size(200_000, 20_000)
        x = sample_paths(
            Theory(Times(), network), n_networks, times=times, rng=effort.rng(i), n_threads=effort.n_threads
        )
        mean = _means(x[:, :, 0])
        deviations.append((mean - model.mean(times)[:, 0])[2])
    leading = deviations[0].value * widths[0]
    for width, deviation in zip(widths, deviations, strict=True):
        numbers.append(measured(f"width {width}: mean at t = 1.5 less infinite width", deviation))
    ratio = deviations[2].value / deviations[0].value
    p = below(-deviations[2], -0.25 * float(deviations[0].value))
    numbers.append(
        refuted(
            "hypothesis: the deviation falls by less than a factor of 4 from width 16 to 256",
            p,
            remark=f"ratio found {ratio:.3f}; 1/width gives 0.0625 to leading order",
        )
    )
    curve = Curve(
        "measured",
        tuple(float(w) for w in widths),
        tuple(abs(float(d.value)) for d in deviations),
        tuple(float(d.error) for d in deviations),
        "points",
    )
    line = Curve.of("1/width", widths, [abs(leading) / w for w in widths], "dashed")
    return Record(
        f"1-H-1 erf networks, 5 steps of rate 0.2 on four points; {effort.size(200_000, 20_000):,} networks of "
        "each width",
        tuple(numbers),
        "statistical, jackknife over 100 blocks of networks",
        (Panel("Deviation from infinite width", "width H", "|mean - infinite width|", (curve, line), "xy"),),
        "The deviation falls as 1/width.",
    )


@claim(
    "linear-models",
    "1902.06720",
    "models that are linear in their trained parameters",
    "A model that is linear in the trained weights obeys the closed form at every step and every width.",
)
def linear_models(effort: Effort) -> Record:
    times = np.array([-1.5, 0.1, 0.9, 1.5])
    numbers: list[Number] = []
    for i, steps in enumerate((1, 10, 100)):
        network = RandomNetwork(
            (1, 1),
            weight_std=1.5,
            bias_std=0.5,
            training=GradientDescent(_POINTS, _TARGETS, rate=0.05, steps=steps),
        )
        model = LinearModel(network)
        x = sample_paths(
            Theory(Times(), network),
            effort.size(100_000, 20_000),
            times=times,
            rng=effort.rng(i),
            precision="float64",
            n_threads=effort.n_threads,
        )[:, :, 0]
        expected = model.mean(times)[:, 0]
        means = _means(x)
        numbers.append(compared(f"after {steps} steps: mean at t = 1.5", means[3], float(expected[3])))
        variances = _means((x - expected) ** 2)
        numbers.append(
            compared(f"after {steps} steps: variance at t = 1.5", variances[3], float(model.covariance(times)[3, 3]))
        )
    return Record(
        f"linear networks of t, trained by 1, 10 and 100 steps; {effort.size(100_000, 20_000):,} networks",
        tuple(numbers),
        "statistical, jackknife over 100 blocks of networks",
    )


def _means(x: np.ndarray) -> Estimate:
    """Means of independent rows, an estimate of the shape of a row."""
    parts = np.array_split(np.asarray(x, dtype=float), 100)
    sizes = np.array([len(part) for part in parts], dtype=float)
    sums = {"x": np.array([part.sum(axis=0) for part in parts]), "n": sizes}
    found: Estimate = jackknife(lambda s: s["x"] / s["n"][:, None], sums, sizes)
    return found
