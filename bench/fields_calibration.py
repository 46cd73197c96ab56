"""Calibration of sampled fields: p-values of two- and four-point functions against exact ones, over many seeds.

Each seed samples a field of small width at three points of space and four times. Hotelling's test compares several
two-point functions jointly with the propagator, and several four-point functions with the exact ones of this width. The
p-values must be uniform; paths that share momenta are one sample. ``--toy``: a few seeds.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from scipy import stats

import nnqm
from nnqm import fields
from nnqm.fields.finite_width import n_point

TIMES = np.array([0.0, 0.3, 0.5, 1.1])
# Each event is a (time, point of space) by position.
EVENTS = {
    "two": [((0, 0), (0, 1)), ((0, 0), (2, 1)), ((1, 2), (3, 2)), ((0, 2), (3, 0)), ((2, 0), (2, 0))],
    "four": [((0, 0), (0, 1), (1, 2), (3, 0)), ((0, 1), (2, 1), (2, 1), (3, 2)), ((1, 0), (1, 0), (2, 0), (2, 0))],
}
GAUSSIAN = fields.Regulator("gaussian", 6.0)
POINTS = np.array([[0.0, 0.0], [0.3, 0.2], [-0.5, 0.4]])
# Smallest p-value of the test of uniformity, of all tests together.
SMALLEST = 0.01


def systems() -> dict[str, fields.CosNet | fields.ReflectionPositiveNet]:
    found: dict[str, fields.CosNet | fields.ReflectionPositiveNet] = {
        f"cos-net, alpha = {alpha:g}": fields.CosNet(2, 1.0, 4, alpha, GAUSSIAN, POINTS[:, :1])
        for alpha in (-1.0, 0.0, 1.0)
    }
    for width in (2, 5, 50):
        for d in (2, 3):
            name = f"reflection-positive net, N = {width}, d = {d}"
            found[name] = fields.ReflectionPositiveNet(d, 1.0, width, 6.0, POINTS[:, : d - 1])
    return found


def p_value(rows: np.ndarray) -> float:
    """p-value of a common mean of zero: Hotelling's test."""
    n, d = rows.shape
    mean = rows.mean(axis=0)
    statistic = n * mean @ np.linalg.solve(np.cov(rows.T), mean)
    return float(stats.f.sf(statistic * (n - d) / (d * (n - 1)), d, n - d))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="a few seeds")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--paths", type=int, default=32_000)
    arguments = parser.parse_args()
    seeds, n_paths = (10, 3_200) if arguments.toy else (arguments.seeds, arguments.paths)
    print(f"nnqm {nnqm.__version__}, level {nnqm.build_info()['level']}, {seeds} seeds of {n_paths} paths")
    head = ["field", "two: smallest p", "two: uniform", "four: smallest p", "four: uniform"]
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|", flush=True)
    uniform = []
    for k, (name, field) in enumerate(systems().items()):
        row, theory = [name], nnqm.Theory(field)
        at = {
            kind: [[(TIMES[t], *field.points[s]) for t, s in event] for event in events]
            for kind, events in EVENTS.items()
        }
        exact = {kind: n_point(field, points).value for kind, points in at.items()}
        found: dict[str, list[float]] = {kind: [] for kind in EVENTS}
        for seed in range(seeds):
            paths = nnqm.sample_paths(theory, n_paths, times=TIMES, rng=1000 * k + seed, precision="float64")
            for kind, events in EVENTS.items():
                products = [np.prod([paths[:, t, s] for t, s in event], axis=0) for event in events]
                rows = (np.stack(products, axis=1) - exact[kind]).reshape(-1, field.shared_by, len(events))
                found[kind].append(p_value(rows.mean(axis=1)))
        for p in found.values():
            uniform.append(float(stats.kstest(p, "uniform").pvalue))
            row += [f"{min(p):.2g}", f"{uniform[-1]:.2g}"]
        print("| " + " | ".join(row) + " |", flush=True)
    if min(uniform) * len(uniform) < SMALLEST:
        sys.exit("p-values are not uniform")
    return 0


if __name__ == "__main__":
    sys.exit(main())
