"""Width scans of arXiv:2008.08601: 2-, 4- and 6-point functions of erf, relu and Gauss networks against their width.

The deviation from the Gaussian process of infinite width is computed exactly, estimated as the paper does, from the
outputs of networks of each width, and estimated for all widths at once from networks of 10 neurons, by sums over
distinct neurons. Writes width_scan.png. Needs matplotlib: pip install 'nnqm[plot]'.
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import fields

# Inputs and spreads of the paper: variances of 1, no biases for relu.
NEAR, POSITIVE = [-0.01, -0.006, -0.002, 0.002, 0.006, 0.01], [0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
NETWORKS = {"erf": (NEAR, 1.0), "relu": (POSITIVE, 0.0), "gauss": (NEAR, 1.0)}
WIDTHS = [2, 3, 4, 5, 10, 20, 50, 100, 500, 1000]
NEURONS, FEW = 1_500_000, 10


def outputs(field, points, width, n_networks, key):
    """Outputs of networks, shape (n_networks, P)."""
    neurons = fields.drawn_neurons(field, points, n_networks, width=width, key=key)
    bias = np.random.default_rng(key).normal(size=(n_networks, 1)) * field.bias_std[1]
    return neurons.sum(axis=1) / np.sqrt(width) + bias


figure, axes = plt.subplots(3, 3, figsize=(11, 9), sharex=True, layout="constrained")
for column, (name, (points, bias_std)) in zip(axes.T, NETWORKS.items(), strict=True):
    field = fields.NeuronField(name, bias_std=bias_std)
    neurons = fields.drawn_neurons(field, points, NEURONS // FEW, width=FEW, rng=1)
    print(f"\n{name}: deviations (G - G_inf)/G_inf\n n   width      exact   outputs(error)   pull  distinct neurons")
    for panel, n in zip(column, (2, 4, 6), strict=True):
        row, rows = points[:n], [range(n)]
        free = float(field.n_point(row).value)
        scan = [float(field.n_point(row, width).value) / free - 1 for width in WIDTHS]
        at_infinity = fields.distinct_neurons(neurons, rows, bias_std=bias_std)[0]
        measured = []
        for width, exact in zip(WIDTHS, scan, strict=True):
            n_networks = NEURONS // width
            phi = outputs(field, points, width, n_networks, key=width)[:, :n].prod(axis=1)
            blocks = np.array([part.sum() for part in np.array_split(phi, 100)])
            sizes = np.array([len(part) for part in np.array_split(phi, 100)], dtype=float)
            mean = nnqm.jackknife(lambda s: s["x"] / s["n"], {"x": blocks, "n": sizes}, sizes) / free - 1
            others = fields.distinct_neurons(neurons, rows, width=width, bias_std=bias_std)[0] - at_infinity
            measured.append((mean, others / free))
            if width in (2, 10, 100, 1000):
                pull = float(mean.pull(exact))
                print(f"{n:2d} {width:7d} {exact:10.3g} {mean!s:>16} {pull:+6.1f}  {others / free}")
        if n > 2:
            panel.plot(WIDTHS, scan, "k-", lw=1, label="exact")
            panel.plot(WIDTHS, np.abs(scan[-1]) * WIDTHS[-1] / np.array(WIDTHS), "k:", lw=1, label="1/N")
        for k, (marker, label) in enumerate((("o", "outputs"), ("x", "distinct neurons"))):
            values = np.array([float(pair[k].value) for pair in measured])
            errors = np.array([float(pair[k].error) for pair in measured])
            if n > 2 or k == 0:
                panel.errorbar(WIDTHS, np.abs(values), errors, fmt=marker, ms=4, mfc="none", lw=1, label=label)
        panel.set(xscale="log", yscale="log", title=f"{name}, n = {n}")
        if n == 2:
            panel.set_title(f"{name}, n = 2: exact deviation is 0")
for panel in axes[:, 0]:
    panel.set_ylabel(r"$|G_n - G_n^\infty|\,/\,G_n^\infty$")
for panel in axes[-1]:
    panel.set_xlabel("width $N$")
axes[1, 0].legend(fontsize="small")
figure.savefig("width_scan.png", dpi=120)
print("wrote width_scan.png")
