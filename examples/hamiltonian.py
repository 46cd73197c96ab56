"""Quantum mechanics on the line, exactly
======================================

Levels, tunnelling, densities and Euclidean functions of a Hamiltonian, without sampling. Needs matplotlib: ``pip
install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

from nnqm import Hamiltonian

# %%
# Each level has a bound of its error.

quartic = Hamiltonian([0, 0, 0, 0, 1], mass=0.5)
print("levels of p^2 + x^4            error")
for level, error in zip(quartic.energies(5), quartic.level_errors(5), strict=True):
    print(f"{level:24.15f}  {error:8.0e}")

# %%
# The lowest gap of the double well (x^2 - a^2)^2 falls with the barrier.
for a in (1.0, 1.5, 2.0, 2.5):
    well = Hamiltonian([a**4, 0, -2 * a**2, 0, 1])
    print(f"  a = {a:3.1f}   barrier {a**4:7.3f}   E_0 = {well.energies(1)[0]:.10f}   gap = {well.gaps(1)[0]:.3e}")

well = Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])
x = np.linspace(-2.6, 2.6, 400)
figure, axes = plt.subplots(layout="constrained")
axes.plot(x, (x**2 - 1.5**2) ** 2, "k", lw=1, label="$V(x)$")
for n, level in enumerate(well.energies(4)):
    axes.plot(x, level + 2 * well.density(n, x), label=rf"$E_{n} + 2\,|\psi_{n}(x)|^2$")
axes.set(xlabel="$x$", ylabel="energy", ylim=(0, 8), title="Double well, a = 1.5")
axes.legend(ncols=2)
figure.savefig("hamiltonian.png", dpi=150)

# %%
# A particle on the left tunnels.
left = (well.eigenstate(0) - well.eigenstate(1)) / np.sqrt(2)
period = 2 * np.pi / well.gaps(1)[0]
print(f"a particle on the left tunnels within t = {period / 2:.2f}")
for part in (0, 0.25, 0.5, 1):
    print(f"  t = {part * period:7.2f}   <x> = {left.evolve(part * period).expectation('x'):+.6f}")

# %%
# The uncertainty of the ground state, Euclidean functions at zero and finite temperature, and the chain of its paths.
ground = well.eigenstate(0)
print(f"uncertainty product {ground.uncertainty('x') * ground.uncertainty('p'):.6f} >= 1/2")
print("Euclidean <x(0) x(t)>:", well.two_point([0, 1, 10]), "  at beta = 2:", well.two_point([0, 1, 2], beta=2.0))
chain = well.transition_matrix(0.1)
print(f"ground-state chain: {len(chain.values)} states, its gaps are right to {chain.gap_error:.0e}")
