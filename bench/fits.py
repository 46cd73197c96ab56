"""Calibration of fits: are the p-values of fits to measured correlators uniform, and do errors of parameters cover?

Correlators are drawn from the exact two-point function of a Hamiltonian with the covariance of a short run. A network
on an Ornstein-Uhlenbeck input with a free rate is fitted to each. The potentials, networks and seeds are others than
the ones with which degrees of freedom were defined (``docs/fit.md``).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import stats

import nnqm
from nnqm.learning import TwoPoint

CASES = {
    "x^2/2 + 0.2 x^4, network 1-5-1 erf": ([0, 0, 0.5, 0, 0.2], (1, 5, 1), "erf"),
    "x^4 + x/2, network 1-3-1 tanh": ([0, 0.5, 0, 0, 1.0], (1, 3, 1), "tanh"),
}
TIMES = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6])


def fits(potential: list[float], widths: tuple[int, ...], activation: str, n_fits: int, method: str) -> np.ndarray:
    """chi^2, degrees of freedom and p-value of each fit, shape (n_fits, 3)."""
    hamiltonian = nnqm.Hamiltonian(potential)
    exact = hamiltonian.connected(TIMES)
    theory = nnqm.Theory(nnqm.GroundStateProcess(hamiltonian))
    lags = np.round(TIMES / 0.05).astype(int)
    run = nnqm.simulate(theory, 20_000, 64, 0.05, rng=77, measure=nnqm.Measure(lags=tuple(lags)))
    covariance = run.connected().covariance()
    rng = np.random.default_rng(2026)
    rows = []
    for k in range(n_fits):
        values = rng.multivariate_normal(exact, covariance)
        start = nnqm.Theory(
            nnqm.OrnsteinUhlenbeck(1.5), nnqm.Network.random(widths, activation, rng=k, weight_std=0.7, bias_std=0.3)
        )
        target = nnqm.Target(TwoPoint(TIMES), values, covariance=covariance)
        found = nnqm.fit(start, target, free=("network", "omega"), method=method, rng=k)
        rows.append((found.chi_squared, found.degrees_of_freedom, found.p_value))
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=100)
    parser.add_argument("--toy", action="store_true", help="two fits of each case")
    arguments = parser.parse_args()
    n_fits = 2 if arguments.toy else arguments.fits
    print(f"nnqm {nnqm.__version__}: {n_fits} fits of each case to {len(TIMES)} values")
    for name, (potential, widths, activation) in CASES.items():
        for method in ("least-squares", "l-bfgs"):
            start = time.perf_counter()
            chi, freedom, p = fits(potential, widths, activation, n_fits, method).T
            error = chi.std(ddof=1) / np.sqrt(n_fits)
            uniform = stats.kstest(p, "uniform").pvalue
            print(
                f"{name}, {method}: chi^2 {chi.mean():.1f}({error:.1f}) for {freedom.mean():.1f} degrees of freedom, "
                f"p < 0.05 in {np.mean(p < 0.05):.0%}, Kolmogorov-Smirnov p = {uniform:.2g}, "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
            # Two fits show only that the fits end at the data, not far from them.
            assert chi.max() < 60
            if not arguments.toy:
                assert uniform > 1e-3
                assert abs(chi.mean() - freedom.mean()) < 4 * error


if __name__ == "__main__":
    main()
