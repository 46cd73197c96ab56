"""Corrections of finite width
===========================

Width scans as in arXiv:2008.08601: 2-, 4- and 6-point functions of erf, relu and Gauss networks by width. The deviation
from the Gaussian process of infinite width is computed exactly; estimated from the outputs of networks of each width;
and estimated for all widths at once from networks of 10 neurons, by sums over distinct neurons. Writes width_scan.png.
Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import fields

# %%
# All variances are 1, and the relu networks have no biases.
NEAR, POSITIVE = [-0.01, -0.006, -0.002, 0.002, 0.006, 0.01], [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
NETWORKS = {"erf": (NEAR, 1.0), "relu": (POSITIVE, 0.0), "gauss": (NEAR, 1.0)}
WIDTHS = np.array([2, 3, 4, 5, 10, 20, 50, 100, 500, 1000])
ORDERS = (2, 4, 6)
NEURONS, FEW, BLOCKS = 400_000, 10, 100


def from_outputs(field, points, width):
    """Averages of products of outputs, an estimate of shape (len(ORDERS),)."""
    neurons = fields.drawn_neurons(field, points, NEURONS // width, width=width, rng=int(width))
    bias = field.bias_std[1] * np.random.default_rng(width).normal(size=(len(neurons), 1))
    phi = neurons.sum(axis=1) / np.sqrt(width) + bias
    parts = np.array_split(np.stack([phi[:, :n].prod(axis=1) for n in ORDERS], axis=1), BLOCKS)
    sizes = np.array([len(part) for part in parts], dtype=float)
    sums = {"product": np.array([part.sum(axis=0) for part in parts]), "n": sizes}
    return nnqm.jackknife(lambda s: s["product"] / s["n"][:, None], sums, sizes)


# %%
# Deviations fall as 1/N. The 2-point function has none.
figure, axes = plt.subplots(3, 3, figsize=(11, 9), sharex=True, layout="constrained")
for column, (name, (points, bias_std)) in zip(axes.T, NETWORKS.items(), strict=True):
    field = fields.NeuronField(name, bias_std=bias_std)
    neurons = fields.drawn_neurons(field, points, NEURONS // FEW, width=FEW, rng=1)
    outputs = [from_outputs(field, points, width) for width in WIDTHS]
    print(f"\n{name}: deviations (G - G_inf)/G_inf\n n  width      exact   outputs(error)   pull  distinct neurons")
    for k, (panel, n) in enumerate(zip(column, ORDERS, strict=True)):
        exact = [field.n_point(points[:n], int(width)) for width in WIDTHS]
        free = float(exact[0].wick)
        deviation = np.array([float(found.correction) for found in exact]) / free
        by_outputs = [found[k] / free - 1 for found in outputs]
        widths = [*WIDTHS.tolist(), 10**12]
        of_widths = fields.distinct_neurons(neurons, range(n), width=widths, bias_std=bias_std)
        by_neurons = of_widths.map(lambda g, free=free: (g[:-1] - g[-1]) / free)
        for i in (0, 4, 7, 9):
            pull = float(by_outputs[i].pull(deviation[i]))
            print(f"{n:2d} {WIDTHS[i]:6d} {deviation[i]:10.3g} {by_outputs[i]!s:>16} {pull:+6.1f}  {by_neurons[i]}")
        sampled = np.array([(abs(float(found.value)), float(found.error)) for found in by_outputs]).T
        panel.errorbar(WIDTHS, *sampled, fmt="o", ms=4, mfc="none", lw=1, label="outputs of these networks")
        if n > 2:
            panel.errorbar(
                WIDTHS, by_neurons.value, by_neurons.error, fmt="x", ms=5, lw=1, label="distinct neurons, N = 10"
            )
            panel.plot(WIDTHS, deviation, "k-", lw=1, label="exact")
            panel.plot(WIDTHS, deviation[-1] * WIDTHS[-1] / WIDTHS, "k:", lw=1, label="1/N through the last width")
        panel.set(xscale="log", yscale="log", title=f"{name}, n = {n}{': exactly 0' if n == 2 else ''}")
for panel in axes[:, 0]:
    panel.set_ylabel(r"$|G_n - G_n^\infty|\,/\,G_n^\infty$")
for panel in axes[-1]:
    panel.set_xlabel("width $N$")
figure.legend(*axes[1, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
figure.savefig("width_scan.png", dpi=120)
print("wrote width_scan.png")
