"""Times of the exact calls, and of the chain sampler compared with the Ornstein-Uhlenbeck sampler.

Each result is compared with an independent one: a closed form, another method, or a property that determines it. Prints
the median time of several repeats; the first call is listed apart (imports, caches). Exits with status 1 if a result is
wrong. ``--toy``: fewer repeats and paths.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nnqm

LAGS = np.array([0.0, 0.2, 1.0, 5.0])
BETA = 2.0


def neuron(dimension: int) -> nnqm.Theory:
    """One sine neuron, whose correlation functions have closed forms."""
    omega = [1.0, 1.7, 0.6][:dimension]
    network = nnqm.Network([[[0.9, -0.7, 0.5][:dimension]], [[1.5]]], [[0.3], [0.0]], "sin")
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), network)


def of_sines(theory: nnqm.Theory, *, beta: float | None = None) -> np.ndarray[Any, Any]:
    """Two-point function of ``neuron`` at the lags."""
    omega, w = np.array(theory.omega), theory.network.weights[0][0]
    if beta is None:
        decay = np.exp(-np.outer(LAGS, omega))
        square = w**2 / (2 * omega)
    else:
        lag = LAGS % beta
        decay = np.cosh(np.outer(beta / 2 - lag, omega)) / np.cosh(omega * beta / 2)
        square = w**2 / (2 * omega) / np.tanh(omega * beta / 2)
    total = square.sum()
    return 1.5**2 / 2 * (np.exp(decay @ square - total) - np.exp(-(decay @ square) - total) * math.cos(0.6))


def calls() -> list[tuple[str, Callable[[], Any], Callable[[Any], float], float]]:
    """Name, call, error of its result, and the largest error allowed."""
    oscillator, tanh = nnqm.harmonic_oscillator(), nnqm.builtin_theory("deep-tanh")
    relu = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="relu"))
    quartic = nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1]))
    spring = nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5]))
    mixed = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.7), spring], neuron(2).network)
    plain = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.7, 1.0]), neuron(2).network)
    ramp = nnqm.Theory(quartic, relu.network)
    # Means of networks with one input by an independent quadrature rule.
    z, weights = np.polynomial.hermite_e.hermegauss(80)

    def squared_mean(networks: list[nnqm.Network]) -> float:
        means = [weights / weights.sum() @ network(z[:, None] / math.sqrt(2))[:, 0] for network in networks]
        return float(np.mean(np.square(means)))

    draws = [nnqm.Network.random((1, 16, 16, 1), rng=i, bias_std=0.5) for i in range(1000)]
    few = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0))
    # E_0 to E_2 of x^2/2 + x^4 by diagonalisation with 40 digits.
    levels = np.array([0.8037706512342738, 2.737892268008434, 5.179291687639391])
    wick = [0.0, 0.3, 0.7, 1.5]
    pairs = np.exp(-np.abs(np.subtract.outer(wick, wick))) / 2
    four = pairs[0, 1] * pairs[2, 3] + pairs[0, 2] * pairs[1, 3] + pairs[0, 3] * pairs[1, 2]

    def sines(dimension: int) -> tuple[Callable[[], Any], Callable[[Any], float], float]:
        theory = neuron(dimension)
        return (
            lambda: nnqm.kallen_lehmann(theory),
            lambda found: float(np.abs(found.two_point(LAGS) - of_sines(theory)).max()),
            1e-10,
        )

    return [
        ("kallen_lehmann, 1 input", *sines(1)),
        ("kallen_lehmann, 2 inputs", *sines(2)),
        ("kallen_lehmann, 3 inputs", *sines(3)),
        (
            "kallen_lehmann, relu, 1 input",
            lambda: nnqm.kallen_lehmann(relu),
            lambda found: abs(found.moments[0] - (0.25 - 1 / (4 * math.pi))),
            1e-13,
        ),
        (
            "kallen_lehmann, relu on x^4",
            lambda: nnqm.kallen_lehmann(ramp),
            # Half of an even density lies on the ramp.
            lambda found: abs(found.commutator - 0.5),
            1e-12,
        ),
        (
            "kallen_lehmann, Hamiltonian x OU",
            lambda: nnqm.kallen_lehmann(mixed),
            lambda found: float(np.abs(found.two_point(LAGS) - nnqm.kallen_lehmann(plain).two_point(LAGS)).max()),
            1e-9,
        ),
        (
            "n_point, 4 times, 1 input",
            lambda: nnqm.n_point(tanh, [0.0, 0.3, 0.7, 1.5]),
            lambda found: abs(found / nnqm.n_point(tanh, [1.5, 1.2, 0.8, 0.0]) - 1),  # time reversal
            1e-10,
        ),
        (
            "n_point, 4 times, oscillator",
            lambda: nnqm.n_point(oscillator, wick),
            lambda found: abs(found - four),
            1e-12,
        ),
        (
            "thermal_measure, 2 inputs",
            lambda: nnqm.thermal_measure(neuron(2), beta=BETA).two_point(LAGS),
            lambda found: float(np.abs(found - of_sines(neuron(2), beta=BETA)).max()),
            1e-9,
        ),
        (
            "thermal_measure, Hamiltonian x OU",
            lambda: nnqm.thermal_measure(mixed, beta=BETA).two_point(LAGS),
            lambda found: float(np.abs(found - nnqm.thermal_measure(plain, beta=BETA).two_point(LAGS)).max()),
            1e-9,
        ),
        (
            "quasi_monte_carlo, 3 inputs",
            lambda: nnqm.quasi_monte_carlo(neuron(3), LAGS),
            lambda found: float(np.abs(found.two_point.pull(of_sines(neuron(3)))).max()),
            6.0,
        ),
        (
            "average_over_weights, 1000 draws",
            lambda: nnqm.average_over_weights(few, draws, LAGS),
            lambda found: abs(found.plateau.value - squared_mean(draws)),
            1e-6,
        ),
        (
            "Hamiltonian, levels of x^4",
            lambda: nnqm.Hamiltonian([0, 0, 0.5, 0, 1]).energies(3),
            lambda found: float(np.abs(found / levels - 1).max()),
            1e-13,
        ),
        (
            "Hamiltonian, spectral measure",
            lambda: nnqm.Hamiltonian([0, 0, 0.5, 0, 1]).spectral_measure(),
            lambda found: abs(found.commutator - 1),
            1e-10,
        ),
        (
            "Hamiltonian, chain at dt = 0.15",
            lambda: nnqm.Hamiltonian([0, 0, 0.5, 0, 1]).transition_matrix(0.15),
            lambda found: found.gap_error,
            1e-9,
        ),
        (
            "Hamiltonian, partition function",
            lambda: nnqm.Hamiltonian([0, 0, 0.5]).partition_function(BETA),
            lambda found: abs(found * 2 * math.sinh(BETA / 2) - 1),
            1e-12,
        ),
    ]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="one repeat, few paths")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    repeat, paths = (1, 8192) if arguments.toy else (arguments.repeat, 100_000)
    wrong = []
    print(f"nnqm {nnqm.__version__}, {nnqm.build_info()['level']}: median of {repeat}, first call apart")
    print(f"{'call':34s} {'first':>9s} {'median':>9s}  error of the answer")
    for name, call, error, allowed in calls():
        first, answer = timed(call)
        median = statistics.median(timed(call)[0] for _ in range(repeat))
        off = float(error(answer))
        print(f"{name:34s} {1e3 * first:6.1f} ms {1e3 * median:6.1f} ms  {off:.1e}", flush=True)
        if not off <= allowed:
            wrong.append(f"{name}: {off:.1e} exceeds {allowed:g}")

    sampled = {}
    quartic = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1])))
    for name, theory, dt in (("OU", nnqm.harmonic_oscillator(), 0.2), ("x^4 chain", quartic, 0.15)):

        def run(theory: nnqm.Theory = theory, dt: float = dt) -> nnqm.results.Correlators:
            return nnqm.simulate(
                theory,
                paths,
                256,
                dt,
                rng=1,
                measure=nnqm.Measure(lags=range(0, 12), observable_lags=(), increment_lags=()),
            )

        run()
        repeats = [timed(run) for _ in range(repeat)]
        sampled[name] = statistics.median(seconds for seconds, _ in repeats)
        exact = nnqm.kallen_lehmann(theory).connected(dt * np.arange(12))
        p_value = repeats[0][1].connected().consistency(exact)
        print(f"{name:10s} {paths * 256 / sampled[name] / 1e6:7.0f} million points per second, p = {p_value:.2g}")
        if p_value < 1e-6:
            wrong.append(f"{name}: p = {p_value:.2g}")
    print(f"a step of the chain takes {sampled['x^4 chain'] / sampled['OU']:.1f} times one of the OU process")
    print("\n".join(["WRONG:", *wrong]) if wrong else "every answer is right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
