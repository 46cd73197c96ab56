"""Three networks with one propagator
==================================

A cos-net, a reflection-positive net and a field in a periodic box have the propagator of the free scalar field in two
dimensions, K_0(m r)/(2 pi), up to their regulators, at every width. Each point is an average over all pairs of points
at one distance, with its error. Writes field_propagators.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm.fields import CosNet, PeriodicBox, ReflectionPositiveNet, Regulator, correlator_by_distance

# %%
# Three networks, and the exact propagator without a cutoff.
MASS, WIDTH = 1.0, 20
at = np.linspace(0.0, 4.0, 17)
fields = {
    "cos-net, Gaussian cutoff 20": CosNet(2, MASS, WIDTH, regulator=Regulator("gaussian", 20.0), points=at),
    "reflection-positive net, cutoff 20": ReflectionPositiveNet(2, MASS, WIDTH, cutoff=20.0, points=at),
    "box of 64 sites, spacing 0.25": PeriodicBox(MASS, 64, spacing=0.25),
}
r = np.linspace(0.15, 4.3, 200)
# K_0(z) is the integral of exp(-z cosh u) over u > 0; the trapezoid rule has all digits.
u = np.linspace(0.0, 7.0, 1401)
k0 = (np.exp(-MASS * r[:, None] * np.cosh(u)).sum(axis=1) - np.exp(-MASS * r) / 2) * (u[1] - u[0])

# %%
# Correlators at equal times by distance; a number near one means that the deviations have the size of the errors.
equal_times = nnqm.Measure(lags=[0], observable_lags=[])
figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
axes.plot(r, k0 / (2 * np.pi), color="0.3", lw=1.2, label=r"exact without cutoff, $K_0(mr)/2\pi$")
for marker, (name, field) in zip("osv", fields.items(), strict=True):
    n_times = 1 if isinstance(field, CosNet) else 16
    run = nnqm.simulate(nnqm.Theory(field), 64_000, n_times, 1.0, measure=equal_times, rng=1)
    found = correlator_by_distance(run)
    inside = (found.distances > 0) & (found.distances < 4.2)
    values, errors = found.values.value[inside, 0], found.values.error[inside, 0]
    bars = axes.errorbar(found.distances[inside], values, errors, fmt=marker, ms=4, lw=1, mfc="white", label=name)
    exact = field.propagator(0.0, found.displacements[inside])
    pulls = (values - exact) / errors
    if isinstance(field, ReflectionPositiveNet):
        sharp = field.propagator(0.0, r[:, None])
        axes.plot(r, sharp, color=bars[0].get_color(), lw=0.7, label="exact with the sharp cutoff 20")
    print(f"{name}: rms deviation from its exact propagator {np.sqrt(np.mean(pulls**2)):.2f} errors")
axes.set(
    xlabel="distance r, unit 1/m", ylabel=r"$\langle\phi(0, r)\,\phi(0, 0)\rangle$", yscale="log", ylim=(1e-3, 0.4)
)
axes.legend(frameon=False)
figure.savefig("field_propagators.png", dpi=150)
print("wrote field_propagators.png")
