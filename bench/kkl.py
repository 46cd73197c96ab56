"""Convergence of Karhunen-Loeve decompositions: of the general solver, of tables, and of the truncated network.

Errors are the largest deviations of the ten largest eigenvalues, in units of the largest eigenvalue, from closed forms
where they exist and from the converged solver otherwise. ``--plot FILE`` draws them (needs matplotlib); ``--toy`` takes
fewer points. Exits with status 1 if the general solver deviates from a closed form by more than 1e-10.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable

# The last table compares with a matrix product on one thread; NumPy reads these variables when it is loaded.
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")

import numpy as np

import nnqm
from nnqm import Kernel, karhunen_loeve

# One discretisation, without the refinement that ``karhunen_loeve`` adds.
from nnqm.time_networks.nystrom import discretised

MODES = 10
KERNELS: dict[str, tuple[Kernel | nnqm.TimeNetwork, tuple[float, float]]] = {
    "Ornstein-Uhlenbeck, omega T = 3": (Kernel.ornstein_uhlenbeck(1.0), (0.0, 3.0)),
    "Ornstein-Uhlenbeck, omega T = 20": (Kernel.ornstein_uhlenbeck(2.0), (0.0, 10.0)),
    "Ornstein-Uhlenbeck, omega T = 0.1": (Kernel.ornstein_uhlenbeck(0.1), (0.0, 1.0)),
    "thermal Ornstein-Uhlenbeck": (Kernel.ornstein_uhlenbeck(1.0, beta=3.0), (0.0, 3.0)),
    "Wiener": (Kernel.wiener(), (0.0, 1.0)),
    "Brownian bridge": (Kernel.brownian_bridge(1.0), (0.0, 1.0)),
    "Matern 3/2": (Kernel.matern(1.5), (0.0, 3.0)),
    "Matern 5/2": (Kernel.matern(2.5), (0.0, 3.0)),
    "squared exponential": (Kernel.squared_exponential(), (0.0, 3.0)),
    "rational quadratic": (Kernel.rational_quadratic(), (0.0, 3.0)),
    "exp(-sqrt|t|)": (Kernel.root_exponential(), (0.0, 3.0)),
    "erf network": (nnqm.TimeNetwork("erf", weight_std=2.0, bias_std=1.0), (-1.0, 1.0)),
}


def function(kernel: Kernel | nnqm.TimeNetwork) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda s, t: kernel(s, t)


def error(eigenvalues: np.ndarray, exact: np.ndarray) -> float:
    n = min(MODES, len(eigenvalues), len(exact))
    return float(np.abs(eigenvalues[:n] - exact[:n]).max() / exact[0])


def nystrom(kernel: Kernel | nnqm.TimeNetwork, a: float, b: float, n: int) -> np.ndarray:
    """Plain Gauss-Legendre quadrature, which ignores the kink at s = t."""
    x, w = np.polynomial.legendre.leggauss(n)
    t, root = a + (b - a) * (1 + x) / 2, np.sqrt(w * (b - a) / 2)
    return np.linalg.eigvalsh(root[:, None] * kernel(t[:, None], t) * root)[::-1]


def rate(sizes: list[int], errors: list[float]) -> str:
    """Rate at which the error falls while it is above rounding: a factor per function, or a power."""
    n, e = np.array(sizes, dtype=float), np.array(errors)
    seen = np.flatnonzero(e > 1e-13)
    if seen.size < 3:
        return "at once"
    seen = seen[-4:]
    logs = np.log10(e[seen])
    spectral = np.polyfit(n[seen], logs, 1, full=True)
    algebraic = np.polyfit(np.log10(n[seen]), logs, 1, full=True)
    if spectral[1].sum() < algebraic[1].sum():
        return f"10^({spectral[0][0]:.2f} n)"
    return f"n^({algebraic[0][0]:.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--plot", metavar="FILE", help="draw the convergence")
    arguments = parser.parse_args()
    sizes = [8, 12, 16, 20, 24] if arguments.toy else [8, 12, 16, 20, 24, 28, 32, 40, 48, 64]
    grids = [17, 33, 65] if arguments.toy else [17, 33, 65, 129, 257, 513]
    wrong = 0
    curves: dict[str, list[tuple[str, list[int], list[float]]]] = {"Galerkin": [], "Nystrom": [], "table": []}

    print("errors of the ten largest eigenvalues over the largest, n Legendre functions on one panel")
    print(f"{'kernel':34s}" + "".join(f"{n:>9d}" for n in sizes) + "  rate")
    converged = {}
    for name, (kernel, (a, b)) in KERNELS.items():
        start = time.perf_counter()
        solved = karhunen_loeve(function(kernel), (a, b), 40)
        spent = time.perf_counter() - start
        exact = karhunen_loeve(kernel, (a, b), 40)
        converged[name] = (exact, solved, spent)
        found = [
            error(discretised(function(kernel), np.array([a, b]), n, 1e-10).eigenvalues, exact.eigenvalues)
            for n in sizes
        ]
        curves["Galerkin"].append((name, sizes, found))
        print(f"{name:34s}" + "".join(f"{e:9.0e}" for e in found) + f"  {rate(sizes, found)}")

    print("\nthe same with Gauss-Legendre quadrature (Nystrom)")
    for name in ("Ornstein-Uhlenbeck, omega T = 3", "Matern 3/2", "exp(-sqrt|t|)"):
        kernel, (a, b) = KERNELS[name]
        found = [error(nystrom(kernel, a, b, n), converged[name][0].eigenvalues) for n in sizes]
        curves["Nystrom"].append((name, sizes, found))
        print(f"{name:34s}" + "".join(f"{e:9.0e}" for e in found) + f"  {rate(sizes, found)}")

    print("\ntables of n equidistant times")
    print(f"{'kernel':34s}" + "".join(f"{n:>9d}" for n in grids) + "  rate")
    for name, (kernel, (a, b)) in KERNELS.items():
        found = []
        for n in grids:
            t = np.linspace(a, b, n)
            try:
                kl = karhunen_loeve((t, kernel(t[:, None], t)), n_modes=MODES)
            except ValueError:  # The table is too coarse to resolve a mode.
                found.append(np.nan)
                continue
            found.append(error(kl.eigenvalues, converged[name][0].eigenvalues))
        curves["table"].append((name, grids, found))
        print(f"{name:34s}" + "".join(f"{e:9.0e}" for e in found) + f"  {rate(grids, found)}")

    print("\nkarhunen_loeve, 40 modes: seconds, panels of 32, error it states, error it has, what 40 modes leave out")
    for name, (exact, solved, spent) in converged.items():
        edges = solved._functions.edges
        stated = solved.errors[:MODES].max() / solved.eigenvalues[0]
        if exact.method == "closed form":
            actual = np.abs(solved.eigenvalues - exact.eigenvalues[: len(solved)]).max() / exact.eigenvalues[0]
            wrong += actual > 1e-10 or np.any(np.abs(solved.eigenvalues - exact.eigenvalues) > solved.errors)
            text = f"{actual:8.0e}"
        else:
            text = "       -"
        print(
            f"{name:34s}{spent:7.2f}  {len(edges) - 1:4d}  {stated:8.0e}  {text}  {solved.truncation_error:8.1e}"
            + (f"  ({len(solved)} modes above rounding)" if solved.n_noise else "")
        )
    n_many = 60 if arguments.toy else 400
    kernel, interval = KERNELS["Ornstein-Uhlenbeck, omega T = 20"]
    start = time.perf_counter()
    many = karhunen_loeve(function(kernel), interval, n_many)
    spent = time.perf_counter() - start
    network = karhunen_loeve(kernel, interval, n_many)
    worst = np.abs(many.eigenvalues / network.eigenvalues - 1).max()
    wrong += worst > 1e-10
    print(f"{n_many} modes of Ornstein-Uhlenbeck: {spent:.1f} s, worst relative error {worst:.0e}")

    print("\ntruncation: part of the variance beyond K modes")
    counts = [10, 20, 40]
    print(f"{'kernel':34s}" + "".join(f"{k:>10d}" for k in counts) + "  rate")
    for name, (exact, _, _) in converged.items():
        tails = [exact.truncated(min(k, len(exact))).truncation_error for k in counts]
        print(f"{name:34s}" + "".join(f"{tail:10.1e}" for tail in tails) + f"  {rate(counts, tails)}")

    T, n = interval[1], n_many
    print(
        f"\n[x, p]/(i hbar) of K = {n} modes of Ornstein-Uhlenbeck (omega = 2, sigma = 1, T = {T:g}), T/K = {T / n:g}"
    )
    print("epsilon K/T     all modes      K modes      deficit  2 T/(pi^2 K epsilon)")
    for ratio in (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0):
        lag = ratio * T / n
        full = -np.expm1(-2 * lag) / (2 * lag)
        mine = float(network.commutator_at(lag))
        print(f"{ratio:11.2f}  {full:12.6f} {mine:12.6f} {full - mine:12.6f}  {2 / (np.pi**2 * ratio):12.6f}")

    speed(2000 if arguments.toy else 20_000)

    if arguments.plot:
        draw(curves, arguments.plot)
    return int(bool(wrong))


def speed(n_paths: int, modes: int = 100, n_times: int = 256) -> None:
    """Time of sampled paths and of ``simulate`` on one thread, relative to the float32 product and with its draws."""
    theory = nnqm.Theory(nnqm.KarhunenLoeveProcess(karhunen_loeve(Kernel.ornstein_uhlenbeck(1.0), (0.0, 10.0), modes)))
    process = theory.sources[0]
    times = np.linspace(0.0, 10.0, n_times)
    basis = process.modes(times).T.astype(np.float32)
    rng = np.random.default_rng(1)
    theta = rng.standard_normal((n_paths, modes), dtype=np.float32)
    out = np.empty((n_paths, n_times), dtype=np.float32)
    drawn = nnqm.Theory(nnqm.KarhunenLoeveProcess(process.expansion, rows=theta[:1000]))

    def product_with_draws() -> None:
        np.matmul(rng.standard_normal((n_paths, modes), dtype=np.float32), basis, out=out)

    def both_products() -> np.ndarray:
        return np.matmul(theta, basis, out=out).T @ out

    cases: dict[str, Callable[[], object]] = {
        "NumPy, theta @ basis": lambda: np.matmul(theta, basis, out=out),
        "NumPy, into new memory": lambda: theta @ basis,
        "NumPy, with Gaussian draws": product_with_draws,
        "sample_paths, Gaussian": lambda: nnqm.sample_paths(theory, n_paths, times=times, key=1, n_threads=1),
        "sample_paths, joint rows": lambda: nnqm.sample_paths(drawn, n_paths, times=times, key=1, n_threads=1),
        "NumPy, theta @ basis, T x T": both_products,
        "simulate, T x T": lambda: nnqm.simulate(theory, n_paths, times=times, rng=1, n_threads=1),
    }
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    # The cases alternate, so that the load of the machine affects all of them.
    for _ in range(41):
        for name, run in cases.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(f"\nsampling {n_paths} paths of {modes} modes at {n_times} times, float32, one thread, medians of 41 rounds")
    product = np.array(seconds["NumPy, theta @ basis"])
    for name, times_of_one in seconds.items():
        ratio = np.median(np.array(times_of_one) / product)
        print(f"{name:28s}{1e3 * np.median(times_of_one):9.1f} ms  {ratio:6.2f} of the product")


def draw(curves: dict[str, list[tuple[str, list[int], list[float]]]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True)
    for name, n, e in curves["Galerkin"]:
        axes[0].semilogy(n, np.maximum(e, 1e-17), marker="o", markersize=3, label=name)
    for name, n, e in curves["Nystrom"]:
        axes[0].semilogy(n, e, linestyle=":", color="grey", label=f"{name}, Nystrom")
    for name, n, e in curves["table"]:
        axes[1].loglog(n, np.maximum(e, 1e-17), marker="o", markersize=3, label=name)
    axes[0].set(xlabel="Legendre functions", ylabel="error of the ten largest eigenvalues / largest")
    axes[1].set(xlabel="times of a table")
    axes[0].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())
