r"""Figure 2 of the paper: the commutator
=====================================

The mean squared increment per dt is flat in t and equal to :math:`\sigma^2`. For mass 1 it is hbar times the
commutator [x, p]/(i hbar). At finite dt it is smaller than :math:`\sigma^2` by the factor (1 - exp(-omega dt))/(omega
dt), which the extrapolation removes. After figure 2 of arXiv:2504.05462. Writes figure_2.png. Needs matplotlib: ``pip
install 'nnqm[plot]'``.
"""

import matplotlib.pyplot as plt
import numpy as np

import nnqm

# %%
# The table has the commutator at one step dt, and its limit dt -> 0 with a statistical and a systematic error. The
# figure takes the same mean from the paths themselves, at each time.
OMEGA, DT, N_TIMES = 1.0, 0.02, 251

figure, axes = plt.subplots()
print("sigma  at dt: measured(error)     exact   pull   dt -> 0: measured(statistical)(systematic)  exact   pull")
for seed, sigma in enumerate([0.5, 1.0, 1.5, 2.0]):
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(OMEGA, sigma))
    run = nnqm.simulate(theory, 50_000, N_TIMES, DT, rng=seed, measure=nnqm.Measure(lags=[0], observable_lags=[]))
    first = run.increment_lags.index(1)
    at_dt = nnqm.commutator_at_lags(run)[first]
    exact = sigma**2 * (1 - np.exp(-OMEGA * DT)) / (OMEGA * DT)
    limit = nnqm.commutator(run).estimate
    columns = f"{sigma:5} {at_dt!s:>24} {exact:9.5f} {float(at_dt.pull(exact)):+6.1f}"
    print(f"{columns} {limit!s:>44} {sigma**2:6.2f} {float(limit.pull(sigma**2)):+6.1f}")

    # The same as a function of t, from the paths themselves.
    x = nnqm.sample_paths(theory, 20_000, N_TIMES, DT, rng=seed)[:, :, 0]
    squares = np.diff(x, axis=1) ** 2 / DT
    t = np.arange(N_TIMES - 1) * DT
    error = squares.std(axis=0) / np.sqrt(len(x))
    (line,) = axes.plot(t, np.full_like(t, sigma**2), lw=1)
    shown = slice(None, None, 10)
    axes.errorbar(
        t[shown],
        squares.mean(axis=0)[shown],
        error[shown],
        fmt="o",
        ms=3,
        color=line.get_color(),
        label=rf"$\sigma = {sigma}$",
    )
axes.set(xlabel="$t$", ylabel=r"$\langle(\Delta x)^2\rangle/\Delta t$", title=r"Commutator (lines: $\sigma^2$)")
axes.set_ylim(0, 4.8)
axes.legend(ncols=4, loc="upper center")
figure.savefig("figure_2.png", dpi=150)
print("wrote figure_2.png")
