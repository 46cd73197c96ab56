"""Approach of trained ensembles to the limit of infinite width: ``python bench/infinite_width.py [--toy]``.

Ensembles of 1-H-1 erf networks are trained on four points. The table shows, for each number of steps and width, the
largest deviations of the mean and of the covariance from the exact answer of infinite width over 17 times. Each network
is compared with its own linear model, f_0(t) - B(t) (f_0(T) - x), whose mean and covariance over the ensemble are the
exact answer at every width, so that most of the noise cancels. The fit is a/H + b/H^2 at the time of the largest
deviation, over widths from 64.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import nnqm
from nnqm.learning.infinite_width import InfiniteWidth
from nnqm.theories.training import GradientDescent

POINTS, TARGETS, RATE = (-1.0, -0.3, 0.4, 1.2), (0.5, -0.2, 0.1, 0.8), 0.2
GRID = np.round(np.linspace(-1.6, 1.6, 17), 1)
WIDTHS = (16, 64, 256, 1024)
BLOCKS = 64


def deviations(width: int, steps: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Deviations of mean and covariance from infinite width in blocks, shapes (BLOCKS, t) and (BLOCKS, t, t)."""
    untrained = nnqm.RandomNetwork((1, width, 1), "erf", weight_std=[1.5, 1.0], bias_std=[0.5, 0.0])
    network = untrained.with_training(GradientDescent(POINTS, TARGETS, RATE, steps))
    model = InfiniteWidth(network)
    times, place = np.unique(np.concatenate([GRID, POINTS]), return_inverse=True)
    before, after = (
        nnqm.sample_paths(nnqm.Theory(nnqm.Times(), one), n, times=times, rng=seed, precision="float64", n_threads=0)[
            :, place, 0
        ]
        for one in (untrained, network)
    )
    linear = before[:, : GRID.size] - (before[:, GRID.size :] - np.array(TARGETS)) @ model.response(GRID).T
    mean = model.mean(GRID)[:, 0]
    found, ours = after[:, : GRID.size] - mean, linear - mean
    blocks = [np.array_split(x, BLOCKS) for x in (found, ours)]
    difference = np.array([a.mean(axis=0) - b.mean(axis=0) for a, b in zip(*blocks, strict=True)])
    # The mean of the network is subtracted from its square, the one of the linear model is known.
    shift = found.mean(axis=0)
    spread = np.array([(a - shift).T @ (a - shift) / len(a) - b.T @ b / len(b) for a, b in zip(*blocks, strict=True)])
    return difference, spread


def largest(blocks: np.ndarray) -> tuple[float, float, int]:
    """The largest mean of blocks, its error, and its place."""
    mean, error = blocks.mean(axis=0).ravel(), blocks.std(axis=0, ddof=1).ravel() / np.sqrt(len(blocks))
    at = int(np.abs(mean).argmax())
    return float(mean[at]), float(error[at]), at


def fitted(widths: np.ndarray, values: np.ndarray, errors: np.ndarray) -> tuple[float, float, float, float]:
    """a and b of a/H + b/H^2 with the error of a, and chi^2 per degree of freedom."""
    basis = np.stack([1 / widths, 1 / widths**2], axis=1) / errors[:, None]
    covariance = np.linalg.inv(basis.T @ basis)
    a, b = covariance @ basis.T @ (values / errors)
    rest = values / errors - basis @ [a, b]
    return float(a), float(np.sqrt(covariance[0, 0])), float(b), float(rest @ rest / max(len(widths) - 2, 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="few networks")
    arguments = parser.parse_args()
    print(f"nnqm {nnqm.__version__}: 1-H-1 erf networks, {len(POINTS)} points, rate {RATE:g}")
    print(f"{'steps':>5s} {'H':>5s} {'networks':>9s} {'mean - exact':>18s} {'covariance - exact':>20s}")
    wrong = []
    for steps in (0, 1, 5, 50):
        rows = []
        for width in WIDTHS[:3] if arguments.toy else WIDTHS:
            n = (128_000 if arguments.toy else 3_200_000) // width
            start = time.perf_counter()
            mean, covariance = deviations(width, steps, n, 1)
            seconds = time.perf_counter() - start
            (m, m_error, _), (c, c_error, _) = largest(mean), largest(covariance)
            print(
                f"{steps:5d} {width:5d} {n:9d} {m:10.5f}({m_error:.5f}) {c:11.5f}({c_error:.5f})  {seconds:.1f} s",
                flush=True,
            )
            rows.append((width, mean))
        if steps == 0:
            # The prior of one hidden layer has no deviation, and the linear model is the network itself.
            if not max(np.abs(mean).max() for _, mean in rows) < 1e-9:
                wrong.append("the prior deviates")
            continue
        at = largest(rows[1][1])[2]
        some = [
            (w, x[:, at].mean(), x[:, at].std(ddof=1) / np.sqrt(len(x))) for w, x in rows if w >= 64 or arguments.toy
        ]
        a, error, b, chi = fitted(*map(np.array, zip(*some, strict=True)))
        print(f"      t = {GRID[at]:.1f}: ({a:.3f} +- {error:.3f})/H + ({b:.1f})/H^2, chi^2/f = {chi:.1f}")
        ratio = np.abs(some[-2][1] / some[-1][1])
        print(f"      from H = {some[-2][0]} to {some[-1][0]} the deviation falls by {ratio:.2f}; 1/H gives 4")
        # One step changes the mean by little, and few networks do not resolve its deviation.
        if not arguments.toy and ((steps > 1 and abs(a) < 4 * error) or chi > 12):
            wrong.append(f"{steps} steps: a = {a:.3f} +- {error:.3f}, chi^2 {chi:.1f}")
    print("\n".join(["WRONG:", *wrong]) if wrong else "the ensembles approach the exact answer as 1/H")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
