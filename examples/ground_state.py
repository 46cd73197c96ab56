r"""Paths of a double well
======================

Paths of the double well are distributed as :math:`|\psi_0|^2`, and their levels are those of the Hamiltonian. Writes
ground_state.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm

# %%
# Levels, measured on 200,000 paths, beside the exact ones.
wells = nnqm.Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])
theory = nnqm.Theory(nnqm.GroundStateProcess(wells, n_grids=16))
run = nnqm.simulate(theory, 200_000, 256, 0.1, rng=1)
print("level  measured(error)     exact")
for n, (gap, exact) in enumerate(zip(nnqm.spectrum(run, 4).gaps, wells.gaps(4), strict=False), start=1):
    print(f"gap {n}  {gap!s:>15}  {exact:8.5f}")

# %%
# The histogram takes every twentieth point of each path; its density is :math:`|\psi_0|^2`.
paths = nnqm.sample_paths(theory, 20_000, 256, 0.1, rng=1)[:, :, 0]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(2, 1), sharey=True, layout="constrained")
left.plot(0.1 * np.arange(256), paths[:3].T, lw=0.8)
left.set(xlabel="$t$", ylabel="$x(t)$", title="Paths")
x = np.linspace(-2.6, 2.6, 400)
right.hist(paths[:, ::20].ravel(), bins=80, density=True, orientation="horizontal", alpha=0.4, label="paths")
right.plot(wells.density(0, x), x, label=r"$|\psi_0(x)|^2$")
right.set(title="Density")
right.legend()
figure.savefig("ground_state.png", dpi=150)
print("wrote ground_state.png")
