"""Two networks with one propagator, and one quantum field
=======================================================

A cos-net and a reflection-positive net of N neurons in two dimensions, with the same cutoff of spatial momenta, have
the same two-point function. The second one is a quantum field at every width, the first one at none. Writes
positivity_of_fields.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm.fields import CosNet, ReflectionPositiveNet, Regulator

# %%
# The functional F = phi(t1, x1) phi(t2, x2) - phi(t1, x2) phi(t2, x1), and its exact norm.
WIDTHS = (2, 5, 10, 20, 50)
MASS, CUTOFF, POINTS = 1.0, 50.0, (0.0, 0.3, 1.0)
N_TIMES, DT = 32, 0.2
# Times of F in steps from the reflection, and its two points.
EARLY, LATE, HERE, THERE = 2, 8, 0, 2
# Smaller p-values are drawn as triangles.
SMALLEST = 1e-30


def exchange(x):
    """F of paths at the two times and all points."""
    return x[:, 0, HERE] * x[:, 1, THERE] - x[:, 0, THERE] * x[:, 1, HERE]


def exact_norm(field):
    """<F(reflected) F>/<F^2> of a cos-net with alpha = 0, by its exact four-point function."""

    def propagator(*signed):
        t, x = np.sum(signed, axis=0)
        return float(field.propagator(t, [x]))

    def four_point(a, b, c, d):
        pairs = ((a, b, c, d), (a, c, b, d), (a, d, b, c))
        wick = sum(propagator(p, -q) * propagator(r, -s) for p, q, r, s in pairs)
        return (1 - 1 / field.width) * wick + field.omega / (2 * field.width) * sum(
            propagator(p, q, -r, -s) for p, q, r, s in pairs
        )

    def average(mirror):
        points = np.array([[time * DT, POINTS[i]] for time in (EARLY, LATE) for i in (HERE, THERE)])
        terms = [(1, points[0], points[3]), (-1, points[1], points[2])]
        flip = np.array([mirror, 1])
        return sum(s * q * four_point(flip * a, flip * b, c, d) for s, a, b in terms for q, c, d in terms)

    return average(-1) / average(1)


# %%
# The table has the p-values of reflection positivity at three points of space, for functionals of all built-in
# families, and the norm of F, measured and exact.
parser = argparse.ArgumentParser(description="Reflection positivity of two networks.")
parser.add_argument("--paths", type=int, default=4000)
arguments = parser.parse_args()

rows = []
print(f"{arguments.paths} paths x {N_TIMES} times x {len(POINTS)} points, p-values of reflection positivity")
print("   N   cos-net    RP-net    <F(reflected) F>: cos-net   its exact value       RP-net")
for width in WIDTHS:
    waves = CosNet(2, MASS, width, regulator=Regulator("hard", CUTOFF, spatial=True), points=POINTS)
    oscillators = ReflectionPositiveNet(2, MASS, width, CUTOFF, points=POINTS)
    tests, norms = [], []
    for field in (waves, oscillators):
        paths = nnqm.Paths(nnqm.Theory(field), arguments.paths, N_TIMES, DT, rng=1)
        tests.append(nnqm.reflection_positivity(paths))
        norms.append(nnqm.reflection_positivity(paths, functionals=exchange, offsets=(EARLY, LATE)).value)
    exact = exact_norm(waves)
    p_values = f"{tests[0].p_value:8.1g}  {tests[1].p_value:8.2f}"
    print(f"{width:4d}  {p_values}  {norms[0]!s:>26s}  {exact:16.4f}  {norms[1]!s:>11s}")
    rows.append((tests, norms, exact))
print(f"the worst functional at N = {WIDTHS[0]}: F = {rows[0][0][0].witness}")

# %%
# Triangles stand for p-values below the smallest one that is drawn.
figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.9), layout="constrained")
for i, (name, marker) in enumerate((("cos-net", "o"), ("reflection-positive net", "s"))):
    # The largest norm is of order 1/N.
    scaled = [width * norms[i] for width, (_, norms, _) in zip(WIDTHS, rows, strict=True)]
    right.errorbar(WIDTHS, [s.value for s in scaled], [s.error for s in scaled], fmt=marker, capsize=3, label=name)
    p_values = np.array([tests[i].p_value for tests, _, _ in rows])
    left.loglog(WIDTHS, np.where(p_values < SMALLEST, np.nan, p_values), marker, color=f"C{i}", label=name)
    left.plot(WIDTHS, np.where(p_values < SMALLEST, SMALLEST, np.nan), "v", color=f"C{i}")
left.axhline(1e-3, color="grey", linestyle="--", linewidth=1)
left.text(WIDTHS[0], 2e-4, "violated", color="grey", va="top")
right.plot(WIDTHS, [w * exact for w, (_, _, exact) in zip(WIDTHS, rows, strict=True)], label="cos-net, exact")
right.axhline(0, color="grey", linewidth=1)
right.set_xscale("log")
left.set(ylabel="p-value of reflection positivity", ylim=(SMALLEST / 100, 100))
right.set_ylabel(r"$N\, \langle F(\Theta\phi) F(\phi)\rangle / \langle F^2\rangle$")
for axis in (left, right):
    axis.set_xlabel("width N")
    axis.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
    axis.minorticks_off()
    axis.legend(loc="center", fontsize="small")
figure.savefig("positivity_of_fields.png", dpi=150)
print("wrote positivity_of_fields.png")
