"""Figure 3 of the paper: levels of a deep network
===============================================

Levels of a deep network on three Ornstein-Uhlenbeck inputs, for five settings, after figure 3 of arXiv:2504.05462. The
figure of the paper shows numbers n = 1 to 9 that resemble levels of a binned one-step transition matrix. The paper does
not give the widths; this example uses 3-16-16-1, tanh and fixed random weights. Writes figure_3.png.
Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm.exact.energies import level_energies

# %%
# Each setting has three rates omega, three widths sigma, and some values of the figure.
SETTINGS = [
    ((1, 1, 1), (1, 1, 1), {1: 1.89, 2: 3.33, 3: 4.66, 9: 7.3}),
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), {1: 0.94, 2: 2.03, 3: 3.2, 9: 6.8}),
    ((2, 2, 2), (2, 2, 2), {1: 3.42, 2: 4.79, 3: 6.0, 9: 7.6}),
    ((1, 2, 1.5), (2, 0.5, 1), {1: 2.2, 2: 3.3, 3: 4.55, 9: 7.05}),
    ((1, 1, 1), (5, 5, 5), {1: 2.54, 2: 3.93, 3: 4.96, 9: 6.75}),
]
N_TIMES, DT, SHOWN = 128, 0.2, (1, 2, 3, 9)


def printed(levels, n):
    """The n-th of a list of estimates, or a dash."""
    return "-" if n > len(levels) or levels[n - 1] is None else str(levels[n - 1])


parser = argparse.ArgumentParser(description="Levels of a deep network on three inputs.")
parser.add_argument("--paths", type=int, default=4096)
parser.add_argument("--bins", type=int, default=16)
arguments = parser.parse_args()

# %%
# The table compares the figure with these effective levels, measured and exact, with the gaps resolved from inputs and
# output and from x alone, and with the exact gaps and their multiplicities.
network = nnqm.Network.random((3, 16, 16, 1), "tanh", rng=3, weight_std=1.5, bias_std=0.5)
curves = []
for omega, sigma, paper in SETTINGS:
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma), network)
    binned = nnqm.binned_effective_levels(
        nnqm.Paths(theory, arguments.paths, N_TIMES, DT, rng=1), bins=arguments.bins, n_levels=9
    )
    expected = nnqm.exact_effective_levels(theory, binned.edges, binned.lag, n_levels=9)
    run = nnqm.simulate(theory, arguments.paths, N_TIMES, DT, rng=1, measure=nnqm.Measure(lags=(), increment_lags=()))
    seen = [level for level in nnqm.spectrum(run, 4).levels if level.resolved]
    hidden = nnqm.hidden_spectrum(nnqm.Paths(theory, arguments.paths, N_TIMES, DT, rng=1), n_levels=3).gaps
    energies, multiplicities = level_energies(theory, 9)
    print(f"\nomega = {omega}, sigma = {sigma}, {arguments.paths} paths x {N_TIMES} times, lag = dt = {DT}")
    print("  n  figure    effective  its exact value    gap, y seen     gap, x only    exact gap")
    for n in SHOWN:
        with_y = "-" if n > len(seen) else f"{seen[n - 1].gap} (x{seen[n - 1].multiplicity})"
        exact = f"{energies[n - 1]:.4g} (x{multiplicities[n - 1]})"
        value = f"{expected.levels[n - 1]:.3f}" if n <= len(expected.levels) else "-"
        print(
            f"{n:3d} {paper[n]:7.2f} {printed(binned.levels, n):>12s} {value:>16s} {with_y:>14s} "
            f"{printed(hidden, n):>15s} {exact:>12s}"
        )
    curves.append((omega, sigma, paper, expected.levels, energies))

# %%
# Dots are exact effective levels, dotted lines the exact gaps, and crosses the values of the paper, read off by eye.
figure, axes = plt.subplots()
for omega, sigma, paper, effective, energies in curves:
    label = rf"$\omega = {omega}$, $\sigma = {sigma}$"
    (line,) = axes.plot(np.arange(1, len(effective) + 1), effective, "o-", ms=3, lw=1, label=label)
    axes.plot(list(paper), list(paper.values()), "x", color=line.get_color())
    axes.plot(np.arange(1, len(energies) + 1), energies, ":", lw=1, color=line.get_color())
axes.set(xlabel="$n$", ylabel="$E_n - E_0$", title="Effective levels (dots), exact gaps (dotted), figure (crosses)")
axes.set_ylim(0, 12)
axes.legend(fontsize="small")
figure.savefig("figure_3.png", dpi=150)
print("wrote figure_3.png")
