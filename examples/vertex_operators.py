"""Vertex operators of a massless field
====================================

Vertex operators of a massless field in two dimensions, as in arXiv:2512.24420: sampled, and exact at every width. The
momenta of the cos-net have a density proportional to 1/k^2 for 1 <= k <= 100. With amplitudes (2 ln(100)/N)^(1/2) the
correlator of exp(i a phi) and its conjugate is a power r^(-a^2) between both cutoffs at infinite width. At finite
width it is the N-th power of an average over one neuron. Writes vertex_operators.png. Needs matplotlib: ``pip install
'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import fields

# %%
# The field, its exact correlators, and correlators of sampled networks.
LOWER, UPPER = 1.0, 100.0
DISTANCES = np.array([0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0])
# A cos-net of nnqm has amplitudes (2 Omega/N)^(1/2), Omega = ln(100)/(2 pi).
CHARGE = np.sqrt(2 * np.pi)
NETWORKS = {2: 200_000, 10: 200_000, 100: 40_000, 4000: 2_000}


def cos_net(width, points=None):
    return fields.CosNet(2, 0.0, width, regulator=fields.Regulator("hard", UPPER, lower=LOWER), points=points)


def exact(width, a, distances):
    points = np.zeros((len(distances), 2, 2))
    points[:, 1, 1] = distances
    return fields.generating_functional(cos_net(width), points, [a * CHARGE, -a * CHARGE]).value


def gaussian(a, distances):
    field = cos_net(1)
    return np.exp(-((a * CHARGE) ** 2) * (field.propagator(0.0, [0.0]) - field.propagator(0.0, distances[:, None])))


def sampled(width, charges):
    """Correlators for all charges and distances, an estimate of shape (len(charges), len(DISTANCES))."""
    field = cos_net(width, points=[0.0, *DISTANCES])
    phi = nnqm.sample_paths(nnqm.Theory(field), NETWORKS[width], times=[0.0], rng=width)[:, 0].astype(float)
    waves = np.cos(np.multiply.outer(np.array(charges) * CHARGE, phi[:, :1] - phi[:, 1:]))
    parts = np.array_split(np.moveaxis(waves, 1, 0), 100)
    sizes = np.array([len(part) for part in parts], dtype=float)
    sums = {"waves": np.array([part.sum(axis=0) for part in parts]), "n": sizes}
    return nnqm.jackknife(lambda s: s["waves"] / s["n"][:, None, None], sums, sizes)


# %%
# Two exact values beside their limits at infinite width.
for width, a, r in ((4000, 1.414, 0.0316), (10, 0.5, 0.1)):
    found, infinite = exact(width, a, np.array([r]))[0], gaussian(a, np.array([r]))[0]
    print(f"N = {width}, a = {a}, r = {r}: exact {found:.6f}, at infinite width {infinite:.6f}")

# %%
# Sampled networks agree with the exact values at every width.
charges = (0.5, 1.414)
figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.5), layout="constrained")
scan = np.geomspace(0.005, 1.5, 120)
print("\n   a      N       r  sampled(error)     exact  pull")
runs = {width: sampled(width, charges) for width in NETWORKS}
for k, (axis, a) in enumerate(zip(axes, charges, strict=True)):
    for colour, (width, found) in enumerate(runs.items()):
        values = exact(width, a, DISTANCES)
        pulls = found[k].pull(values)
        for i in (2, 4, 8):
            print(f"{a:5.3f} {width:5d} {DISTANCES[i]:8.4f} {found[k][i]!s:>14} {values[i]:9.6f} {pulls[i]:+5.1f}")
        axis.plot(scan, exact(width, a, scan), color=f"C{colour}", lw=1, label=f"N = {width}")
        axis.errorbar(DISTANCES, found[k].value, found[k].error, fmt="o", ms=3, color=f"C{colour}")
    axis.plot(scan, gaussian(a, scan), "k:", lw=1, label=r"$N = \infty$")
    axis.set(xscale="log", yscale="log", xlabel="$r$", title=f"a = {a}", ylim=(1e-3 if a > 1 else 0.2, 1.3))
axes[0].set_ylabel(r"$\langle e^{ia\phi(0)} e^{-ia\phi(r)}\rangle$")
axes[0].legend(title="lines: exact; points: sampled")
figure.savefig("vertex_operators.png", dpi=120)
print("wrote vertex_operators.png")
