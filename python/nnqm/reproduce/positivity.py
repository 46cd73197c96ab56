"""Claims: reflection positivity by splitting and by the Markov property, and its failure for generic networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..estimators.markov import chapman_kolmogorov
from ..exact.spectral_measures import kallen_lehmann
from ..positivity.certificate import positivity_certificate
from ..positivity.reflection import reflection_positivity
from ..sampling.path_source import Paths
from ..theories.builtin import builtin_theory, harmonic_oscillator
from ..theories.densities import Density
from ..theories.markov_chain import MarkovChain
from ..theories.networks import Network, RandomNetwork
from ..theories.sources import OrnsteinUhlenbeck, Times
from ..theories.theory import Theory
from ..time_networks.emulate import split_network
from ..time_networks.kernels import CosineNetwork, Kernel, TimeNetwork
from ..verdict import Verdict
from .record import Curve, Number, Panel, Record, by_test, positive, refuted, violated
from .registry import Effort, claim

__all__: list[str] = []

_PAPER = "2504.05462"
_ERROR = (
    "statistical; the functional F is chosen on one half of the paths and tested on the other half, so that the "
    "p-value "
    "of the test is valid for the F that was found"
)


@claim(
    "positive-by-splitting",
    _PAPER,
    "parameter splitting, theta = theta_0, theta_+ and theta_-",
    "A network is reflection positive for every density of its parameters if the parameters for t > 0 and for t "
    "< 0 are "
    "independent, given the shared ones.",
)
def positive_by_splitting(effort: Effort) -> Record:
    n_paths = effort.size(20_000, 4_000)
    layers: dict[str, Any] = {"weight_std": 1.5, "bias_std": 0.5, "shared": [True, False]}
    grid = np.linspace(-2.0, 2.0, 17)
    theories = {
        "tanh network of |t|, Gaussian weights": Theory(
            Times(reflected=True), RandomNetwork((1, 16, 1), "tanh", **layers)
        ),
        "sin network of |t|, uniform weights": Theory(
            Times(reflected=True), RandomNetwork((1, 16, 1), "sin", weights="uniform", **layers)
        ),
        "split expansion of Matern 3/2, Laplace weights": split_network(Kernel.matern(1.5), 2.0, 20, "laplace"),
    }
    numbers = []
    for i, (name, theory) in enumerate(theories.items()):
        paths = Paths(theory, n_paths, times=grid, rng=effort.rng(i), n_threads=effort.n_threads)
        result = reflection_positivity(paths, about="middle")
        numbers.append(positive(f"<F(reflected) F>, worst F found: {name}", result))
    plain = Theory(Times(), RandomNetwork((1, 16, 1), "tanh", weight_std=1.5, bias_std=0.5))
    control = reflection_positivity(
        Paths(plain, n_paths, times=grid, rng=effort.rng(9), n_threads=effort.n_threads), about="middle"
    )
    numbers.append(violated("the same tanh network of t, not split (negative control)", control))
    return Record(
        f"{n_paths:,} paths of each network at 17 times from -2 to 2, reflected about t = 0",
        tuple(numbers),
        _ERROR,
        notes=("A consistent test is no proof; the proof is M = E |E[F | theta_0]|^2 >= 0.",),
    )


@claim(
    "positive-by-markov",
    _PAPER,
    "the Markov property as a mechanism of reflection positivity",
    "Stationary, reversible Markov processes are reflection positive.",
)
def positive_by_markov(effort: Effort) -> Record:
    n_paths = effort.size(20_000, 4_000)
    rng = np.random.default_rng(5)
    flow = rng.uniform(0.2, 1.0, (5, 5))
    flow = flow + flow.T + 4 * np.diag(rng.uniform(0.5, 1.0, 5))
    chain = MarkovChain(rng.normal(size=5), flow / flow.sum(axis=1, keepdims=True), 0.2)
    theories = {
        "oscillator (Ornstein-Uhlenbeck)": (harmonic_oscillator(), 0.2),
        "double well": (builtin_theory("double-well"), 0.2),
        "random reversible chain of 5 states": (Theory(chain), 0.2),
    }
    numbers: list[Number] = []
    for i, (name, (theory, dt)) in enumerate(theories.items()):
        paths = Paths(theory, n_paths, 32, dt, rng=effort.rng(i), n_threads=effort.n_threads)
        markov = chapman_kolmogorov(paths)
        numbers.append(by_test(f"{name}: Chapman-Kolmogorov equation", markov.p_value))
        numbers.append(positive(f"{name}: <F(reflected) F>, worst F found", reflection_positivity(paths)))
        found = positivity_certificate(kallen_lehmann(theory))
        known = found.verdict is Verdict.POSITIVE_BY_CONSTRUCTION
        numbers.append(Number(f"{name}: spectral weights and energies", found.verdict, known))
    return Record(f"{n_paths:,} paths x 32 times, dt = 0.2, of each process", tuple(numbers), _ERROR)


@claim(
    "generic-networks-violate",
    _PAPER,
    "reflection positivity is an additional constraint",
    "Generic networks of t are not reflection positive, even if their two-point function is that of the oscillator.",
)
def generic_networks_violate(effort: Effort) -> Record:
    n_paths = effort.size(20_000, 6_000)
    numbers: list[Number] = []
    kernels: dict[str, TimeNetwork | CosineNetwork] = {
        "tanh network of t": TimeNetwork("tanh", bias_std=1.0, width=16),
        "cosine network, Gaussian momenta": CosineNetwork(Density("gaussian"), width=16),
        "cosine network of 1 neuron, Cauchy momenta": CosineNetwork(Density("cauchy"), width=1),
    }
    for i, (name, network) in enumerate(kernels.items()):
        if "Cauchy" in name:
            # Its two-point function is positive: only nonlinear functionals see the violation.
            linear = positivity_certificate(lambda t: np.exp(-np.abs(t)), 9, 0.5)
            remark = f"two-point function alone: {linear.verdict}"
            paths = Paths(network.theory(), n_paths, 32, 0.2, rng=effort.rng(i), n_threads=effort.n_threads)
            numbers.append(Number(f"{name}: exp(-|t|), linear functionals", linear.verdict, None, remark=remark))
            numbers.append(violated(f"{name}: <F(reflected) F>, worst F found", reflection_positivity(paths)))
            continue
        grid = np.linspace(-2.0, 2.0, 17)
        certificate = positivity_certificate(lambda s, t, n=network: n(s, t), 9, 0.5, stationary=False)
        numbers.append(
            Number(
                f"{name}: lowest <F(reflected) F> over linear F, exact",
                certificate.verdict,
                certificate.verdict is Verdict.VIOLATED,
                certificate.value,
                systematic=certificate.error,
                remark=f"F = {certificate.witness}",
            )
        )
        paths = Paths(network.theory(), n_paths, times=grid, rng=effort.rng(i), n_threads=effort.n_threads)
        result = reflection_positivity(paths, about="middle")
        numbers.append(violated(f"{name}: <F(reflected) F>, worst F found on paths", result))
    return Record(
        f"{n_paths:,} paths of each network; exact two-point functions at 9 times, step 0.5",
        tuple(numbers),
        _ERROR + "; exact rows: numerical",
        notes=("F is the witness: a functional whose norm is negative. It can be checked on other paths.",),
    )


@claim(
    "deep-not-markov",
    _PAPER,
    "deep NN-QM: networks acting on Markov processes",
    "A network that acts on a Markov process gives a process that is not Markov and is still reflection positive.",
)
def deep_not_markov(effort: Effort) -> Record:
    n_paths = effort.size(40_000, 10_000)
    bumps = Network([[[2.0], [-1.5], [0.7]], [[1.0, 1.2, -0.8]]], [[0.3, 1.0, -0.5], [0.0]])
    theories = {
        "oscillator, no network": harmonic_oscillator(),
        "1-3-1 tanh network on one OU process": Theory(OrnsteinUhlenbeck(1.0), bumps),
        "3-16-1 tanh network on three OU processes": Theory(
            OrnsteinUhlenbeck([1.0, 2.0, 1.5], [2.0, 0.5, 1.0]), Network.random((3, 16, 1), rng=3, bias_std=0.5)
        ),
    }
    numbers: list[Number] = []
    curves = []
    for i, (name, theory) in enumerate(theories.items()):
        paths = Paths(theory, n_paths, 32, 0.2, rng=effort.rng(i), n_threads=effort.n_threads)
        markov = chapman_kolmogorov(paths, n_paths=n_paths)
        if i == 0:
            numbers.append(by_test(f"{name}: Chapman-Kolmogorov equation (control)", markov.p_value))
        else:
            numbers.append(refuted(f"{name}: Chapman-Kolmogorov equation", markov.p_value))
        result = reflection_positivity(paths)
        numbers.append(positive(f"{name}: <F(reflected) F>, worst F found", result))
        curves.append(Curve.of(name, markov.times, np.maximum(markov.p_values, 1e-40), "points"))
    return Record(
        f"{n_paths:,} paths x 32 times, dt = 0.2, of each theory",
        tuple(numbers),
        _ERROR,
        (
            Panel(
                "p-value of the Chapman-Kolmogorov equation",
                "lag t",
                "p-value (1e-40 and less at the bottom)",
                tuple(curves),
                "y",
            ),
        ),
        "The equation holds for the input process and fails for networks of it.",
    )
