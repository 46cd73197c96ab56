"""A deep NN-QM fitted to a measured correlator, that of the oscillator x^2/2 + x^4.

Paths of the oscillator are sampled, and their two-point function with its covariance is the target. The theory that is
fitted has another input, one Ornstein-Uhlenbeck process, whose rate is learnt with the weights of the network. The data
determine the lowest level. The higher levels of the fit are multiples of the rate, and their weights stand for all
levels above the lowest one.

Writes fit_correlator.png and prints the fit. Needs matplotlib: pip install 'nnqm[plot]'.
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import nnqm

quartic = nnqm.Hamiltonian([0, 0, 0.5, 0, 1])
truth = nnqm.Theory(nnqm.GroundStateProcess(quartic, n_grids=16))
run = nnqm.simulate(truth, 50_000, 64, 0.1, rng=3)
target = nnqm.Target.two_point(run)

start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 6, 6, 1), rng=2, bias_std=0.5))
found = nnqm.fit(start, target, free=("network", "omega"), method="l-bfgs", rng=1)
print(found)
(rate,), gap = found.theory.omega, quartic.gaps(1)[0]
error = rate * np.sqrt(found.covariance[-1, -1])
print(f"lowest level: fitted {rate:.4f} +- {error:.4f}, exact {gap:.4f}")

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
