"""Figure 1 of the paper: the two-point function
=============================================

The two-point function of the Ornstein-Uhlenbeck process, measured on paths and exact, as in figure 1 of
arXiv:2504.05462. Writes figure_1.png. Needs matplotlib: ``pip install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm

# %%
# The exact function is :math:`\frac{\sigma^2}{2\omega} e^{-\omega t}`. The table shows every fourth point, with its
# distance from the exact value in errors.
DT, N_TIMES = 0.05, 201
LAGS = range(0, 101, 5)

figure, axes = plt.subplots()
print("omega  sigma     t  measured(error)      exact   pull")
for seed, (omega, sigma) in enumerate([(1, 1), (2, 1), (1, 2), (2, 2)]):
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega, sigma))
    run = nnqm.simulate(theory, 100_000, N_TIMES, DT, rng=seed, measure=nnqm.Measure(lags=LAGS, observable_lags=[]))
    measured = run.two_point()
    t = np.array(run.lags) * DT
    exact = sigma**2 / (2 * omega) * np.exp(-omega * t)
    for i in range(0, len(t), 4):
        pull = float(measured[i].pull(exact[i]))
        print(f"{omega:5} {sigma:6} {t[i]:5.1f} {measured[i]!s:>16} {exact[i]:10.6f} {pull:+6.1f}")
    fine = np.linspace(0, t[-1], 400)
    (line,) = axes.plot(fine, sigma**2 / (2 * omega) * np.exp(-omega * fine), lw=1)
    label = rf"$\omega = {omega}$, $\sigma = {sigma}$"
    axes.errorbar(t, measured.value, measured.error, fmt="o", ms=3, color=line.get_color(), label=label)
axes.set(xlabel="$t$", ylabel=r"$\langle x(0)\, x(t)\rangle$", title="Two-point function (lines: exact)")
axes.legend()
figure.savefig("figure_1.png", dpi=150)
print("wrote figure_1.png")
