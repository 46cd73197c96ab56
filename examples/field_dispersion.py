"""Energies of a deep neural field
===============================

The energies of a field in a periodic box by spatial momentum, beside the exact frequencies and thresholds. The field
x = f(phi) is a convolutional network of the free field phi at eight sites. Its odd part shows one particle,
E(q) = omega(q); even functions show two, whose lowest energy is the threshold min [omega(k) + omega(q - k)]. Writes
field_dispersion.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import fields

# %%
# Two networks of the field: a deep one, and even functions of pairs of sites.
SITES, DT = 8, 0.1
box = fields.PeriodicBox(mass=1.0, sites=SITES)
rng = np.random.default_rng(1)

# Three layers of translated kernels: three outputs at every site.
deep = fields.convolution(box, [rng.normal(size=shape) for shape in ((4, 1, 3), (4, 4, 3), (3, 4, 1))])
# cos(a (phi(x) + phi(x + r))) for all distances r: even functions, which show pairs of particles.
pairs = [(a, r) for a in (0.4, 0.8) for r in range(SITES // 2 + 1)]
split = np.zeros((len(pairs), 1, SITES))
for j, (a, r) in enumerate(pairs):
    split[j, 0, SITES // 2] += a
    split[j, 0, (SITES // 2 + r) % SITES] += a
even = fields.convolution(box, [split, np.eye(len(pairs))[:, :, None]], activation="cos")

# %%
# The table has the lowest level at each momentum, beside the exact one. Lines of the figure are the exact dispersion of
# one particle, and the thresholds of two and three.
figure, axes = plt.subplots()
for seed, (network, n, label) in enumerate([(deep, 1, "deep field"), (even, 2, "even functions")]):
    theory = nnqm.Theory(box, network)
    seen = nnqm.default_observables(theory, order=3 if n == 1 else 1)
    measure = nnqm.Measure(observables=seen, lags=(), increment_lags=(), observable_lags=(1, 2, 3, 5))
    run = nnqm.simulate(theory, 20_000, 24, DT, rng=seed, measure=measure)
    functions = None if n == 1 else [f"x{j + 1}" for j in range(len(pairs))]
    found = fields.dispersion(run, functions=functions)
    exact = found.thresholds(n)
    print(f"{label}: momentum, lowest level, exact, pull, verdict")
    for q, energy, known, verdict in zip(found.momenta[:, 0], found.energies, exact, found.verdicts, strict=True):
        pull = "" if energy is None else f"{float(energy.pull(known)):+.1f}"
        print(f"  {q:.4f}  {energy!s:>12}  {known:.5f}  {pull:>5}  {verdict}")
    shown = [i for i, energy in enumerate(found.energies) if energy is not None]
    values, errors = ([float(getattr(found.energies[i], name)) for i in shown] for name in ("value", "error"))
    axes.errorbar(found.momenta[shown, 0], values, errors, fmt="o", ms=4, capsize=3, label=label)

q = np.linspace(0, np.pi, 200)
axes.plot(q, np.sqrt(1 + 4 * np.sin(q / 2) ** 2), "k-", lw=1, label=r"$\omega(q)$")
momenta = np.arange(SITES // 2 + 1) * 2 * np.pi / SITES
for n, style in ((2, "--"), (3, ":")):
    bounds = fields.thresholds(box, n, momenta)
    axes.plot(momenta, bounds, f"k{style}", lw=1, label=f"{n} particles, lowest")
axes.set(xlabel="momentum q, unit 1/a", ylabel="$E(q)/m$", title="Deep neural field in a periodic box", ylim=(0, None))
axes.legend()
figure.savefig("field_dispersion.png", dpi=150)
print("wrote field_dispersion.png")
