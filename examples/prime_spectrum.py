"""A Hamiltonian whose gaps are the first primes
=============================================

A potential is designed with given gaps, its levels are solved, and they are measured on its paths. Writes
prime_spectrum.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm.learning import hamiltonian_with_gaps

# %%
# The design has the gaps 2, 3, 5, 7 and 11.
primes = [2, 3, 5, 7, 11]
design = hamiltonian_with_gaps(primes)
print(design)

# %%
# Paths of the ground state show the same gaps. Sixteen shifted grids make a smooth histogram.
source = nnqm.GroundStateNetwork(**design.source.contents() | {"n_grids": 16})
dt = source.natural_step
theory = nnqm.Theory(source)
# The wells are narrow: 32 neurons, placed where the wave functions need them, resolve more levels than 16.
observables = nnqm.default_observables(theory, neurons=32)
run = nnqm.simulate(theory, 100_000, 64, dt, rng=1, measure=nnqm.Measure(observables=observables))
measured = nnqm.spectrum(run, 5).gaps
print("prime  measured on paths(error)")
for prime, gap in zip(primes, measured, strict=False):
    print(f"{prime:<5d}  {gap}")

# %%
# The potential with its levels, the gaps, and the density of the paths.
h = source.hamiltonian
x = np.linspace(-3, 3, 801)
levels = h.energies(6)
paths = nnqm.sample_paths(theory, 20_000, 64, dt, rng=1)[:, ::8, 0]

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4.5), width_ratios=(2.2, 1, 1.4), layout="constrained")
left.plot(x, source.potential(x), "k", label="$V - E_0$")
for n, level in enumerate(levels):
    density = h.density(n, x)
    seen = density > 1e-3 * density.max()
    left.fill_between(x[seen], level, level + density[seen], alpha=0.6)
    left.axhline(level, color="0.8", lw=0.6, zorder=0)
left.set(ylim=(1.15 * source.potential(x).min(), 14), xlabel="$x$", ylabel="energy")
left.set_title(r"Potential and densities $|\psi_n|^2$")
left.legend(loc="lower left")

for n, prime in enumerate(primes, start=1):
    middle.axhline(prime, color=f"C{n}", lw=1, label="prime" if n == 1 else None)
for n, gap in enumerate(measured, start=1):
    middle.errorbar([0.5], gap.value, yerr=gap.error, fmt="ko", capsize=4, label="paths" if n == 1 else None)
middle.set(xlim=(0, 1), xticks=[], yticks=primes, ylim=(0, 13), title="Gaps $E_n - E_0$")
middle.legend(loc="upper left")

right.hist(paths.ravel(), bins=80, density=True, alpha=0.4, label="paths")
right.plot(x, source.ground_state(x) ** 2, label=r"$\psi_0^2 = e^{-2W}$")
right.set(xlim=(-2, 2), xlabel="$x$", title="Density of the paths")
right.legend()
figure.savefig("prime_spectrum.png", dpi=150)
print("wrote prime_spectrum.png")
