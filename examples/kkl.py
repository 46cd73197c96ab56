"""Processes as networks in time
=============================

Mean-square continuous processes are networks in time (Kosambi-Karhunen-Loeve): modes, truncation, and the loss of
quantum properties. Writes kkl.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import Density, KarhunenLoeveProcess, Kernel, as_network, karhunen_loeve

# %%
# The oscillator on an interval: the modes are the output weights of the network.
T = 10.0
oscillator = karhunen_loeve(Kernel.ornstein_uhlenbeck(omega=1.0), (0.0, T), 100)
print(oscillator)
print("the lowest output weights, sqrt(lambda_k):", np.sqrt(oscillator.eigenvalues[:5]).round(4))

figure, axes = plt.subplots(layout="constrained")
t = np.linspace(0, T, 400)
for k in range(4):
    axes.plot(t, np.sqrt(oscillator.eigenvalues[k]) * oscillator.basis(t)[k], label=f"k = {k + 1}")
axes.set(xlabel="$t$", ylabel=r"$\sqrt{\lambda_k}\, e_k(t)$", title="Modes of the oscillator")
axes.legend()
figure.savefig("kkl.png", dpi=150)

# %%
# Any kernel works. The table has the part of the variance that 10 modes leave out, and the largest error of an
# eigenvalue.
kernels = {
    "Matern 3/2": Kernel.matern(1.5),
    "exp(-sqrt|t|)": Kernel.root_exponential(),
    "tanh network, depth 2": nnqm.TimeNetwork("tanh", depth=2, bias_std=1.0),
    "my own": lambda s, t: np.exp(-np.abs(s - t)) * (1 + 0.5 * np.cos(s) * np.cos(t)),
    "a theory": nnqm.builtin_theory("deep-tanh"),
}
for name, kernel in kernels.items():
    kl = karhunen_loeve(kernel, (0.0, 2.0), 10)
    print(f"  {name:24s}{kl.truncation_error:10.1e}{kl.errors.max():10.1e}")

# %%
# A measured kernel has modes with jackknife errors. Modes that are noise are left out.
theory = nnqm.harmonic_oscillator()
run = nnqm.simulate(theory, 20_000, n_times=64, dt=0.1, rng=1, measure=nnqm.Measure(two_time=True))
measured = karhunen_loeve(run, n_modes=40)
exact = karhunen_loeve(theory, measured.interval, 40)
print(measured)
for k in range(4):
    print(f"  lambda_{k + 1} = {measured.estimates[k]}, exactly {exact.eigenvalues[k]:.5f}")

# %%
# A finite number of modes makes smooth paths, and the commutator vanishes at short times.
print(f"[x, p]/(i hbar) at scale epsilon, T/K = {T / len(oscillator):g}")
for epsilon in (0.001, 0.01, 0.1, 1.0, 3.0):
    kernel_value = -np.expm1(-epsilon) / epsilon
    print(f"  {epsilon:6g}: {float(oscillator.commutator_at(epsilon)):.4f}, with all modes {kernel_value:.4f}")

# %%
# The sum of lambda_k^2 converges: a few large modes dominate, and the process does not become Gaussian.
print("excess kurtosis of x in the middle, for independent weights of several densities")
for density in (Density("rademacher"), Density("uniform"), Density("laplace"), Density("student-t", nu=6)):
    line = []
    for n in (1, 10, 100):
        kl = oscillator.truncated(n)
        connected = kl.connected_four_point([T / 2] * 4, density)
        line.append(f"{float(connected / kl.connected(T / 2, T / 2) ** 2):8.3f}")
    print(f"  {density!s:24s}" + "".join(line) + "   (1, 10, 100 modes)")

# %%
# The modes of a theory that is not Gaussian are uncorrelated, not independent.
print("the x^4 oscillator as a network of 40 modes: excess kurtosis of x at t = 2")
anharmonic = nnqm.builtin_theory("anharmonic")
network = as_network(anharmonic, 40, (0.0, 4.0), rows=10_000, rng=1).sources[0]
apart = KarhunenLoeveProcess(network.expansion, rows=network.rows, independent=True)
print(f"  the theory: {nnqm.kallen_lehmann(anharmonic).kurtosis:.2f}")
print(f"  joint weights: {float(network.kurtosis(2.0)):.2f}, independent ones: {float(apart.kurtosis(2.0)):.2f}")

# %%
# The axioms that these networks satisfy.
print(nnqm.check(nnqm.Theory(network), rng=1))
print(nnqm.check(nnqm.split_network(Kernel.matern(1.5), 2.0, 20, "laplace"), rng=1))
