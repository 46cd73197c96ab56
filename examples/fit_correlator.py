"""A theory fitted to a measured correlator
========================================

A deep NN-QM is fitted to the correlator of the oscillator x^2/2 + x^4, which is measured on paths. The theory that is
fitted has another input, one Ornstein-Uhlenbeck process, whose rate is learnt with the weights of the network. The data
determine the lowest level. The higher levels of the fit are multiples of the rate, and their weights stand for all
levels above the lowest one. Writes fit_correlator.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm

# %%
# The target is the two-point function with its covariance.
quartic = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
truth = nnqm.Theory(nnqm.GroundStateProcess(quartic, n_grids=16))
run = nnqm.simulate(truth, 50_000, 64, 0.1, rng=3)
target = nnqm.Target.two_point(run)

# %%
# The fit learns the weights of the network and the rate omega.
start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 6, 6, 1), rng=2, bias_std=0.5))
found = nnqm.fit(start, target, free=("network", "omega"), method="l-bfgs", rng=1)
print(found)
(rate,), gap = found.theory.omega, quartic.gaps(1)[0]
error = rate * np.sqrt(found.covariance[-1, -1])
print(f"lowest level: fitted {rate:.4f} +- {error:.4f}, exact {gap:.4f}")

# %%
# The fit, its residuals, and its spectral measure beside the exact one.
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
times, lags = np.linspace(0, target.observable.times.max(), 200), target.observable.times
fitted, exact = (nnqm.kallen_lehmann(theory) for theory in (found.theory, truth))
left.errorbar(lags, target.values, target.errors, fmt="o", ms=4, label="measured")
left.plot(times, fitted.connected(times), label="fit")
left.set(yscale="log", xlabel="$t$", ylabel="$G(t)$", title=f"Two-point function, p = {found.p_value:.2f}")
left.legend()

at_lags = fitted.connected(lags)
middle.axhspan(-1, 1, color="0.92", label="one error")
middle.plot(lags, (target.values - at_lags) / target.errors, "o", ms=5, label="measured")
middle.plot(lags, (exact.connected(lags) - at_lags) / target.errors, color="C2", label="exact")
middle.set(xlabel="$t$", ylabel="distance from the fit in errors", title="Residuals (correlated)")
middle.legend()

for measure, name, shift, colour in ((exact, "exact", 0.06, "C2"), (fitted, "fit", -0.06, "C1")):
    shown = (measure.weights > 1e-6) & (measure.energies < 14)
    right.vlines(measure.energies[shown] + shift, 1e-6, measure.weights[shown], color=colour, lw=3, label=name)
right.set(yscale="log", xlabel="$E_n - E_0$", ylabel=r"$|\langle 0|x|n\rangle|^2$", title="Spectral measure")
right.legend()
figure.savefig("fit_correlator.png", dpi=150)
print("wrote fit_correlator.png")
