"""Exact quantum mechanics on the line: prints levels, tunnelling, densities and Euclidean functions."""

import numpy as np

from nnqm.quantum.hamiltonian import Hamiltonian

quartic = Hamiltonian([0, 0, 0, 0, 1], mass=0.5)
print("levels of p^2 + x^4            error")
for level, error in zip(quartic.energies(5), quartic.level_errors(5), strict=True):
    print(f"{level:24.15f}  {error:8.0e}")

print("\ndouble well (x^2 - a^2)^2: the lowest gap falls with the barrier")
for a in (1.0, 1.5, 2.0, 2.5):
    well = Hamiltonian([a**4, 0, -2 * a**2, 0, 1])
    print(f"  a = {a:3.1f}   barrier {a**4:7.3f}   E_0 = {well.energies(1)[0]:.10f}   gap = {well.gaps(1)[0]:.3e}")

well = Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])
print("\n|psi_0(x)|^2 at a = 1.5")
for x in np.linspace(-2.5, 2.5, 21):
    density = float(well.density(0, x))
    print(f"{x:6.2f}  {density:.6f}  {'#' * round(80 * density)}")

left = (well.eigenstate(0) - well.eigenstate(1)) / np.sqrt(2)
period = 2 * np.pi / well.gaps(1)[0]
print(f"\na particle on the left tunnels within t = {period / 2:.2f}")
for part in (0, 0.25, 0.5, 1):
    print(f"  t = {part * period:7.2f}   <x> = {left.evolve(part * period).expectation('x'):+.6f}")

ground = well.eigenstate(0)
print(f"\nuncertainty product {ground.uncertainty('x') * ground.uncertainty('p'):.6f} >= 1/2")
print("Euclidean <x(0) x(t)>:", well.two_point([0, 1, 10]), "  at beta = 2:", well.two_point([0, 1, 2], beta=2.0))
chain = well.transition_matrix(0.1)
print(f"ground-state chain: {len(chain.values)} states, its gaps are right to {chain.gap_error:.0e}")
