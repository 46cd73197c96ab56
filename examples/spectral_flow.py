"""Training moves weights, not levels
==================================

Spectral flow during training: levels stay, spectral weights move, and positivity is kept or never gained. A deep NN-QM
with one Ornstein-Uhlenbeck input is trained by gradient descent to given spectral weights. Its levels are multiples of
omega at every step; low levels are learnt first. Two ensembles of networks of t are trained on the same data: with
parameters that are split at t = 0 they are reflection positive at every step, otherwise at no step. Writes
spectral_flow.png, with the wanted weights as grey lines. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm
from nnqm import GradientDescent, Network, OrnsteinUhlenbeck, RandomNetwork, Theory, Times, Trajectory
from nnqm.learning import SpectralWeights

# %%
# A fit to four spectral weights keeps its steps.
WANTED = [0.5, 0.25, 0.15, 0.1]
STEPS = [0, 1, 3, 10, 30, 100, 300, 1000]

start = Theory(OrnsteinUhlenbeck(omega=1.0), Network.random((1, 8, 1), rng=1, bias_std=0.5))
target = nnqm.Target(SpectralWeights(4), WANTED, tolerance=0.01)
found = nnqm.fit(start, target, method="gradient-descent", rate=3e-5, steps=3000)
print(found)

# %%
# The same data for both ensembles: x = sin(2|t|) at five times, and at their reflections.
t = np.array([0.1, 0.3, 0.6, 0.9, 1.2])
data = GradientDescent(t, np.sin(2 * t), rate=0.1, steps=0)
both_sides = GradientDescent([*-t, *t], np.sin(2 * np.tile(t, 2)), rate=0.05, steps=0)
layers = {"widths": (1, 32, 1), "activation": "tanh", "weight_std": 1.5, "bias_std": 0.5}
split = Theory(Times(reflected=True), RandomNetwork(**layers, shared=[True, False], training=data))
plain = Theory(Times(), RandomNetwork(**layers, training=both_sides))

# %%
# The physics at some steps of each training.
times = np.linspace(-1.5, 1.5, 25)
settings = {"n_levels": 4, "times": times, "n_paths": 4000}
along = {
    # A theory that is stationary needs no grid.
    "deep NN-QM": nnqm.training_dynamics(found.trajectory.thinned(14), n_levels=4, rng=1, n_paths=2000),
    "split network": nnqm.training_dynamics(Trajectory.of_ensemble(split, STEPS), rng=2, **settings),
    "tanh network of t": nnqm.training_dynamics(Trajectory.of_ensemble(plain, STEPS), rng=3, **settings),
}
for name, dynamics in along.items():
    print(f"\n{name}\n{dynamics}")

gaps = along["deep NN-QM"]["gap"].values
print("\nlevels of the deep NN-QM at all steps:", *np.unique(gaps.round(12)))

# %%
# All three in one figure.
figure, grid = plt.subplots(2, 2, figsize=(9.2, 6.6), layout="constrained")
for ax, quantity in zip(grid.ravel(), ("positivity", "weight", "kurtosis", "commutator"), strict=True):
    nnqm.plot.training(along, ax, quantity=quantity)
for weight in WANTED:
    grid[0, 1].axhline(weight, color="0.75", lw=1, zorder=0)
figure.savefig("spectral_flow.png", dpi=150)
print("wrote spectral_flow.png")
