"""Four-point functions: published, sampled, exact
===============================================

Four-point functions of arXiv:2604.27050 beside this package's, sampled and exact at every width: cos-nets of a free
scalar field in two dimensions, mass 1, Gaussian regulator of cutoff 100. The numbers below are a few of the data of the
paper (repository nnft-alpha of Zhengkang Zhang, MIT licence, copyright 2026 Zhengkang Zhang): the first of 50
configurations of four points, at three scales, from 1e8 networks each. With the name of a JSON file, all of its
configurations are compared: ``{"configurations": {scale: points (50, 4, 2)}, "rows": [{"alpha", "scale", "N", "mean",
"error"}, ...]}``. Writes published_four_points.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import json
import sys

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import fields

# %%
# The published numbers.
POINTS = {
    0.3: [[-0.18750931, -0.0697219], [0.24415402, 0.036772039], [0.17444962, 0.10940249], [-0.12065542, 0.10273874]],
    1.0: [[-0.62503099, -0.23240632], [0.81384671, 0.12257346], [0.58149874, 0.36467493], [-0.40218472, 0.34246245]],
    3.0: [[-1.875093, -0.69721895], [2.4415402, 0.36772037], [1.7444962, 1.0940248], [-1.2065542, 1.0273874]],
}
WIDTHS = (30, 50, 100)
# By scale and alpha: mean and error for each width.
PUBLISHED = {
    (0.3, -1): [(5.73591, 0.01427), (3.50648, 0.006943), (1.84325, 0.002807)],
    (0.3, 0): [(0.18327, 0.0001068), (0.182487, 0.0001073), (0.181839, 0.0001076)],
    (0.3, 1): [(0.203718, 0.01548), (0.163057, 0.00729), (0.176428, 0.002666)],
    (1.0, -1): [(3.5806, 0.01192), (2.15239, 0.005636), (1.08957, 0.002188)],
    (1.0, 0): [(0.030609, 6.225e-05), (0.0297995, 6.222e-05), (0.0292699, 6.228e-05)],
    (1.0, 1): [(0.0262809, 0.01567), (0.0393375, 0.007408), (0.0288416, 0.002683)],
    (3.0, -1): [(1.17998, 0.008256), (0.705498, 0.003919), (0.350413, 0.001508)],
    (3.0, 0): [(0.00186065, 5.548e-05), (0.00164758, 5.554e-05), (0.00157662, 5.554e-05)],
    (3.0, 1): [(0.00868662, 0.01562), (0.00147685, 0.007355), (-0.00166539, 0.002673)],
}
# %%
# Networks of few neurons determine the correlators of every width.
NETWORKS, FEW = 120_000, 10


def cos_net(width, alpha, points=None):
    return fields.CosNet(2, 1.0, width, alpha, fields.Regulator("gaussian", 100.0), points=points)


def drawn_neurons(alpha, points):
    """Neurons at four points, shape (NETWORKS, FEW, 4): networks of one neuron are its independent draws."""
    times, space = np.array(points).T
    order = np.argsort(times)
    theory = nnqm.Theory(cos_net(1, alpha, space[order]))
    phi = nnqm.sample_paths(theory, NETWORKS * FEW, times=times[order], rng=1)
    return phi[:, range(4), range(4)].reshape(NETWORKS, FEW, 4).astype(float)


# %%
# The last panel has the distances of the published numbers from the exact ones, in published errors.
print(f"published: 1e8 networks of width N; ours: {NETWORKS:,} networks of {FEW} neurons, for every width")
print("scale alpha     N   published +- error  ours(error)       exact  pulls of both")
figure, axes = plt.subplots(1, 4, figsize=(15, 4.8), layout="constrained")
pulls = []
for axis, (scale, points) in zip(axes, POINTS.items(), strict=False):
    free = float(fields.n_point(cos_net(30, 0.0), points).wick)
    for alpha, colour in ((-1, "C0"), (0, "C1"), (1, "C2")):
        ours = fields.distinct_neurons(drawn_neurons(alpha, points), range(4), width=[*WIDTHS, 10**12])
        for k, width in enumerate(WIDTHS):
            mean, error = PUBLISHED[scale, alpha][k]
            exact = float(fields.n_point(cos_net(width, alpha), points).value)
            pulls.append((mean - exact) / error)
            both = f"{mean:10.6f} +- {error:8.6f} {ours[k]!s:>13} {exact:11.6f}"
            print(f"{scale:5g} {alpha:5d} {width:5d} {both}  {pulls[-1]:+5.1f} {float(ours[k].pull(exact)):+5.1f}")
            axis.errorbar(1 / width, mean / free, error / free, fmt="o", ms=5, mfc="none", color=colour)
        pull = float(ours[3].pull(free))
        print(f"{scale:5g} {alpha:5d}   inf {'':22} {ours[3]!s:>13} {free:11.6f}        {pull:+5.1f}")
        axis.errorbar(
            [1 / width + 0.0006 for width in WIDTHS] + [0.0],
            ours.value / free,
            ours.error / free,
            fmt="x",
            color=colour,
        )
        scan = np.unique(np.geomspace(25, 4000, 60).astype(int))
        line = [float(fields.n_point(cos_net(int(width), alpha), points).value) / free for width in scan]
        axis.plot([0, *(1 / scan[::-1])], [1, *line[::-1]], color=colour, lw=1, label=rf"$\alpha = {alpha}$")
    axis.set_yscale("symlog", linthresh=2)
    axis.set(xlabel="$1/N$", title=f"scale {scale:g}")
axes[0].set_ylabel(r"$G_4\,/\,G_4(N = \infty)$")
title = "circles: published, 1e8 networks of width N; crosses: ours, from networks of 10 neurons; lines: exact"
figure.legend(*axes[0].get_legend_handles_labels(), title=title, loc="outside lower center", ncols=3)

if len(sys.argv) > 1:
    with open(sys.argv[1]) as file:
        data = json.load(file)
    pulls = []
    for row in data["rows"]:
        exact = fields.n_point(cos_net(row["N"], row["alpha"]), data["configurations"][f"{row['scale']:g}"]).value
        pulls.extend((np.array(row["mean"]) - exact) / np.array(row["error"]))
print(f"{len(pulls)} published numbers less exact ones: rms {np.sqrt(np.mean(np.square(pulls))):.2f} of their errors")
axes[3].hist(pulls, bins=np.arange(-4, 4.1, 0.5), density=True, alpha=0.5, label=f"{len(pulls)} published numbers")
z = np.linspace(-4, 4, 201)
axes[3].plot(z, np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi), "k", lw=1, label="standard normal")
axes[3].set(xlabel="(published - exact) / error", title="pulls")
axes[3].set_ylim(0, 0.6)
axes[3].legend(fontsize="small", loc="upper left")
figure.savefig("published_four_points.png", dpi=120)
print("wrote published_four_points.png")
