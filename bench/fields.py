"""Exact answers for fields at finite width: published numbers, and times and errors of propagators and functions.

``python bench/fields.py [FILE]``. The file holds the four-point functions of arXiv:2604.27050 as JSON:
"configurations", points by scale, and "rows" of alpha, scale, N, means and errors. Without it a few of these numbers
are compared. Errors in the tables are the stated ones, relative to the largest value of the row.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special  # noqa: F401  # loaded before anything is timed

from nnqm.fields import CosNet, ReflectionPositiveNet, Regulator, generating_functional, n_point, propagator

# First configuration of scale 0.3 of arXiv:2604.27050 (repository nnft-alpha, MIT licence), 1e8 networks each.
PUBLISHED: dict[str, Any] = {
    "configurations": {
        "0.3": [
            [[-0.18750931, -0.0697219], [0.24415402, 0.036772039], [0.17444962, 0.10940249], [-0.12065542, 0.10273874]]
        ]
    },
    "rows": [
        {"alpha": alpha, "scale": 0.3, "N": width, "mean": [mean], "error": [error]}
        for alpha, width, mean, error in (
            (-1, 30, 5.73591, 0.01427),
            (-1, 100, 1.84325, 0.002807),
            (0, 50, 0.182487, 0.0001073),
            (1, 30, 0.203718, 0.01548),
            (1, 100, 0.176428, 0.002666),
        )
    ],
}


def published(data: dict[str, Any]) -> bool:
    """Pulls of published four-point functions; returns whether a complete set is right and fast enough."""
    points = {float(scale): np.array(x) for scale, x in data["configurations"].items()}
    start, pulls = time.perf_counter(), []
    for row in data["rows"]:
        field = CosNet(2, 1.0, row["N"], alpha=row["alpha"], regulator=Regulator("gaussian", 100.0))
        found = n_point(field, points[float(row["scale"])])
        pulls.append((np.array(row["mean"]) - found.value) / np.array(row["error"]))
    seconds, each = time.perf_counter() - start, [float(np.sqrt(np.mean(p**2))) for p in pulls]
    rms, count = float(np.sqrt(np.mean(np.concatenate(pulls) ** 2))), sum(p.size for p in pulls)
    print(f"{count} published four-point functions in {seconds:.2f} s: pulls of rms {rms:.3f}", end="")
    print(f", {min(each):.2f} to {max(each):.2f} per row")
    return count < 1000 or (0.9 < rms < 1.2 and seconds < 1.0)


def propagators(n: int) -> None:
    """Time per distance and stated error of propagators at n distances up to 5."""
    print(f"\n{'regulator':40} {'d':>2} {'us per distance':>16} {'error':>8}")
    rng = np.random.default_rng(1)
    for regulator in (
        Regulator(),
        Regulator("gaussian", 100.0),
        Regulator("gaussian", 100.0, spatial=True),
        Regulator("hard", 100.0),
        Regulator("hard", 100.0, spatial=True),
    ):
        for d in (2, 3, 4):
            t, x = rng.uniform(0.01, 2.5, n), rng.uniform(0.01, 2.5, (n, d - 1))
            start = time.perf_counter()
            found = propagator(d, 1.0, t, x, regulator=regulator)
            each = (time.perf_counter() - start) / n * 1e6
            print(f"{regulator!r:40} {d:2} {each:16.1f} {found.error.max() / found.value.max():8.0e}")


def functions(n: int) -> None:
    """Time per configuration and stated error of n-point functions and generating functionals."""
    print(f"\n{'field':34} {'function':12} {'ms each':>8} {'error':>8}")
    rng = np.random.default_rng(2)
    regulator = Regulator("gaussian", 100.0)
    fields = {f"cos-net, alpha = {a}": CosNet(2, 1.0, 30, alpha=a, regulator=regulator) for a in (-1, 0, 1)}
    for name, field in (fields | {"reflection-positive net": ReflectionPositiveNet(2, 1.0, 30, 100.0)}).items():
        for order in (2, 4, 6, 8):
            points = 0.3 * rng.normal(size=(n, order, 2))
            start = time.perf_counter()
            found = n_point(field, points)
            each = (time.perf_counter() - start) / n * 1e3
            print(f"{name:34} {order} points {'':3} {each:8.2f} {found.error.max() / np.abs(found.value).max():8.0e}")
        points = 0.1 * rng.normal(size=(2, 2, 2))
        start = time.perf_counter()
        of_charges = generating_functional(field, points, [0.7, -0.7])
        each = (time.perf_counter() - start) / 2 * 1e3
        print(f"{name:34} {'Z, 2 points':12} {each:8.2f} {of_charges.error.max() / of_charges.value.max():8.0e}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="published four-point functions, JSON")
    parser.add_argument("--toy", action="store_true", help="few distances and configurations")
    parser.add_argument("--count", type=int, default=200, help="distances and configurations that are timed")
    settings = parser.parse_args()
    data = json.loads(settings.file.read_text(encoding="utf-8")) if settings.file else PUBLISHED
    right = published(data)
    count = 4 if settings.toy else settings.count
    propagators(count)
    functions(count)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
