"""Fits of theories to targets: convergence, quality, trajectories, and targets that are impossible."""

import sys
import types

import numpy as np
import pytest
from scipy import stats

import nnqm
from harness import assert_uniform
from nnqm.learning import (
    Commutator,
    Gaps,
    Moments,
    MomentumSquared,
    NPoint,
    SpectralWeights,
    TwoPoint,
    differentiate,
)
from nnqm.learning.feasibility import check_targets
from nnqm.learning.goodness import judge
from nnqm.learning.parameters import FreeParameters
from nnqm.learning.positive_measures import nearest_measure
from nnqm.results import FitError, FitInterrupted

WEIGHTS = [0.5, 0.25, 0.15, 0.1]
METHODS = ("least-squares", "l-bfgs", "adam", "gradient-descent")


def oscillators(omega=1.0, widths=(1, 4, 1), rng=1):
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), nnqm.Network.random(widths, rng=rng, bias_std=0.5))


def linear(omega, size=1.0):
    """x = sum_i a_i y_i with equal variances."""
    omega = np.asarray(omega, dtype=float)
    weights = size * np.sqrt(2 * omega / len(omega))
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega), nnqm.Network([weights[None]], activation=["identity"]))


# ---- values that must be reached


def test_spectral_weights_of_four_hidden_units_are_reached():
    target = nnqm.Target(SpectralWeights(4), WEIGHTS, tolerance=1e-6)
    found = nnqm.fit(oscillators(), target, restarts=3, rng=1)
    assert found.converged
    exact = nnqm.kallen_lehmann(found.theory)
    order = np.argsort(exact.energies)
    np.testing.assert_allclose(exact.weights[order][:4], WEIGHTS, atol=1e-6)
    assert found.chi_squared is None
    assert found.targets[0].p_value is None


@pytest.mark.parametrize(("n_inputs", "error"), [(3, 5e-3), (6, 1e-5)])
def test_a_power_law_is_a_sum_of_decays_of_learnt_rates(n_inputs, error):
    times = 20 * np.linspace(0, 1, 100) ** 2
    start = linear(np.geomspace(0.05, 4, n_inputs))
    found = nnqm.fit(start, nnqm.Target(TwoPoint(times), 1 / (1 + times)), free=("network", "omega"))
    fine = np.linspace(0, 20, 2001)
    values = differentiate(found.theory, [TwoPoint(fine)]).values[0]
    assert np.abs(values - 1 / (1 + fine)).max() < error
    # A negative control: the rates must be learnt.
    fixed = nnqm.fit(start, nnqm.Target(TwoPoint(times), 1 / (1 + times)))
    assert fixed.targets[0].residual > 2 * error


@pytest.fixture(scope="module")
def quartic_run():
    source = nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1.0]), n_grids=16)
    return nnqm.simulate(nnqm.Theory(source), 16384, 48, 0.1, rng=3)


@pytest.mark.slow
def test_a_measured_correlator_is_fitted_to_its_errors(quartic_run):
    target = nnqm.Target.two_point(quartic_run)
    assert target.size == 12
    assert target.n_samples == 128
    found = nnqm.fit(oscillators(rng=2), target, free=("network", "omega"), method="l-bfgs")
    assert 0.01 < found.p_value < 0.99
    assert 7 < found.degrees_of_freedom < 11
    gap = nnqm.Hamiltonian([0, 0, 0.5, 0, 1.0]).gaps(1)[0]
    assert abs(found.theory.omega[0] / gap - 1) < 0.05
    # Negative control: the lowest rate of this start is too high for the data.
    wrong = nnqm.fit(oscillators(3.0, rng=2), target, method="l-bfgs")
    assert wrong.p_value < 1e-6
    assert "resolved misfit" in str(wrong)


@pytest.mark.slow
def test_four_point_functions_of_an_anharmonic_system_are_out_of_reach_of_oscillator_inputs():
    theory = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 1.0])))
    lags, rows = np.array([0, 0.2, 0.5, 1.0]), np.array([[0, 0, 0, 0], [0, 0, 0.5, 0.5], [0, 0.3, 0.3, 0.6]])
    two, four = nnqm.kallen_lehmann(theory).connected(lags), nnqm.n_point(theory, rows)
    start = oscillators(1.9, widths=(1, 3, 1), rng=2)
    targets = [nnqm.Target(TwoPoint(lags), two, errors=1e-3 * two), nnqm.Target(NPoint(rows), four, errors=1e-3 * four)]
    both = nnqm.fit(start, targets, free=("network", "omega"), steps=60)
    assert both.p_value < 1e-10
    assert "resolved misfit" in str(both)
    assert "GroundState" in str(both)
    alone = nnqm.fit(start, targets[0], free=("network", "omega"), steps=60)
    assert alone.chi_squared < 1e-2 * both.chi_squared
    assert not alone.notes


@pytest.mark.slow
def test_a_potential_is_fitted_to_gaps():
    goal = nnqm.Hamiltonian([0, 0, 0.5, 0, 1.0])
    start = nnqm.Theory(nnqm.GroundStateProcess(nnqm.Hamiltonian([0, 0, 0.5, 0, 0.5])))
    found = nnqm.fit(start, nnqm.Target(Gaps(1), goal.gaps(1), tolerance=1e-4), free="potential")
    assert found.converged
    np.testing.assert_allclose(found.theory.sources[0].ground_state_of.gaps(1), goal.gaps(1), atol=2e-4)
    with pytest.raises(nnqm.errors.InputError, match="a level of the inputs"):
        nnqm.fit(
            nnqm.Theory(nnqm.GroundStateProcess(goal), nnqm.Network.random((1, 2, 1), rng=1)),
            nnqm.Target(Gaps(1), [goal.gaps(1)[0] + 0.1]),
        )


# ---- methods


def convex():
    """Moments of a linear network of one input: the mean is its bias."""
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]]], [[0.0]], activation=["identity"]))
    return theory, nnqm.Target(Moments([1, 2]), [0.7, 1.2])


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_minimum_of_a_convex_loss(method):
    theory, target = convex()
    rate = {"adam": 0.05, "gradient-descent": 0.2}.get(method)
    found = nnqm.fit(theory, target, method=method, loss_tolerance=1e-14, **({"rate": rate} if rate else {}))
    # The variance is w^2/2.
    np.testing.assert_allclose(np.abs(found.parameters), [np.sqrt(2.4), 0.7], atol=1e-6)
    assert found.converged


def test_gradient_descent_is_the_textbook_rule():
    theory, target = convex()
    found = nnqm.fit(theory, target, method="gradient-descent", rate=0.1, steps=7)
    w, losses = np.array([1.0, 0.0]), []
    for _ in range(8):
        deviation = np.array([w[1] - 0.7, w[0] ** 2 / 2 - 1.2])
        losses.append(deviation @ deviation / 2)
        states = (*locals().get("states", ()), w)
        w = w - 0.1 * np.array([deviation[1] * w[0], deviation[0]])
    assert found.trajectory.steps == tuple(range(8))
    np.testing.assert_allclose([t.network.parameters for t in found.trajectory.theories], states, rtol=1e-13)
    np.testing.assert_allclose(found.trajectory.losses, losses, rtol=1e-12)
    assert found.reason == "7 steps are done"
    assert not found.converged


def test_adam_is_the_published_rule():
    theory, target = convex()
    found = nnqm.fit(theory, target, method="adam", rate=0.03, steps=5)
    w, m, v = np.array([1.0, 0.0]), np.zeros(2), np.zeros(2)
    for n in range(1, 6):
        g = np.array([(w[0] ** 2 / 2 - 1.2) * w[0], w[1] - 0.7])
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - 0.03 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)
    np.testing.assert_allclose(found.parameters, w, rtol=1e-12)


def test_gradient_and_jacobian_agree_with_finite_differences():
    from nnqm.learning.optimisers import Problem

    matrix = [[4e-4, 1e-4], [1e-4, 2e-4]]
    targets = [nnqm.Target(TwoPoint([0.1, 0.7]), [0.3, 0.2], matrix), nnqm.Target(Moments([2, 4]), [0.5, 0.8])]
    problem = Problem(oscillators(1.3), targets, ("network", "omega", "sigma"))
    start, step = problem.free.start, 1e-6
    point = problem.at(start)
    sides = [[problem.at(start + s * step * unit) for s in (1, -1)] for unit in np.eye(len(start))]
    numeric = np.array([(a.residual - b.residual) / (2 * step) for a, b in sides]).T
    np.testing.assert_allclose(point.jacobian, numeric, atol=1e-6 * np.abs(numeric).max())
    np.testing.assert_allclose(point.gradient, point.jacobian.T @ point.residual, rtol=1e-9, atol=1e-9)


def test_one_seed_gives_one_fit():
    target = nnqm.Target(SpectralWeights(4), WEIGHTS)
    a, b, c = (nnqm.fit(oscillators(), target, restarts=2, steps=5, rng=rng) for rng in (1, 1, 2))
    assert a.starts == b.starts
    np.testing.assert_array_equal(a.parameters, b.parameters)
    assert a.starts[0] == c.starts[0]
    assert a.starts[1] != c.starts[1]
    assert a.loss == min(a.starts)
    assert len(a.starts) == 3


@pytest.mark.slow
def test_early_stopping_ends_a_fit_and_says_why():
    theory, target = convex()
    patient = nnqm.fit(theory, target, method="gradient-descent", rate=0.2, patience=5)
    assert patient.converged
    assert "5 steps" in patient.reason
    gradient = nnqm.fit(theory, target, method="gradient-descent", rate=0.2, gradient_tolerance=1e-3)
    assert gradient.converged
    assert 0 < gradient.steps < patient.steps
    within = nnqm.fit(theory, nnqm.Target(Moments([1, 2]), [0.7, 1.2], tolerance=[0.1, 0.1]), method="l-bfgs")
    assert within.reason == "all deviations are within the tolerance"
    assert within.targets[0].residual < 0.1


@pytest.mark.slow
def test_a_trajectory_is_thinned_and_ends_at_the_last_step():
    theory, target = convex()
    found = nnqm.fit(theory, target, method="gradient-descent", rate=0.01, steps=500)
    steps = np.array(found.trajectory.steps)
    assert (steps[0], steps[-1]) == (0, 500)
    assert len(steps) < 60
    assert len(found.trajectory.losses) == len(steps)
    assert np.all(np.diff(found.trajectory.losses) < 0)


def test_progress_is_told(monkeypatch):
    monkeypatch.setattr("nnqm.learning.optimisers._PROGRESS", -1.0)
    told = []
    theory, target = convex()
    nnqm.fit(theory, target, method="adam", steps=4, restarts=1, rng=1, progress=lambda *now: told.append(now))
    assert told == [(n, 8) for n in range(1, 9)]


# ---- ends half-way


def test_ctrl_c_keeps_the_last_state(monkeypatch):
    theory, target = convex()

    def stop(done, wanted):
        if done >= 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("nnqm.learning.optimisers._PROGRESS", -1.0)
    with pytest.raises(FitInterrupted) as stopped:
        nnqm.fit(theory, target, method="gradient-descent", rate=0.1, progress=stop)
    partial = stopped.value.partial
    assert partial.reason == "interrupted"
    assert partial.trajectory.steps == (0, 1, 2, 3)
    assert partial.loss == min(partial.trajectory.losses)
    again = nnqm.fit(theory, target, method="gradient-descent", rate=0.1, steps=3)
    np.testing.assert_array_equal(partial.parameters, again.parameters)


def test_a_rate_that_diverges_is_named_with_the_largest_stable_one():
    theory, target = convex()
    with pytest.raises(FitError, match=r"step \d+ has diverged.*largest stable rate is about") as failed:
        nnqm.fit(theory, target, method="gradient-descent", rate=50.0)
    partial = failed.value.partial
    assert partial.loss <= partial.trajectory.losses[0]
    assert partial.trajectory.steps[0] == 0
    # At the start J is diag(1, 1), and the state after one step is far away.
    assert "is about 2, 2/lambda" in str(failed.value)
    assert "use a smaller one" in str(failed.value)
    assert nnqm.fit(theory, target, method="gradient-descent", rate=0.5, steps=2000).loss < 1e-12
    weights = nnqm.Target(SpectralWeights(4), WEIGHTS, tolerance=1e-6)
    with pytest.raises(FitError, match="divide the rate by 10"):
        nnqm.fit(oscillators(), weights, method="gradient-descent")


def test_ctrl_c_between_starts_and_before_the_first_step_keeps_what_there_is(monkeypatch):
    from nnqm.learning import fit as module

    theory, target = convex()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_redrawn", stop)
    with pytest.raises(FitInterrupted, match="one of 3 steps") as stopped:
        nnqm.fit(theory, target, method="adam", steps=3, restarts=1, rng=1)
    assert stopped.value.partial.reason == "3 steps are done"


def test_a_failure_half_way_keeps_the_last_state(monkeypatch):
    from nnqm.learning import optimisers

    theory, target = convex()
    calls = iter(range(100))
    exact = optimisers.differentiate

    def fails_later(*arguments):
        if next(calls) > 3:
            raise nnqm.errors.InputError("the grid is too coarse")
        return exact(*arguments)

    monkeypatch.setattr(optimisers, "differentiate", fails_later)
    with pytest.raises(FitError, match="step 4 has diverged: the grid is too coarse") as failed:
        nnqm.fit(theory, target, method="adam", rate=0.05)
    assert failed.value.partial.trajectory.steps == (0, 1, 2, 3)
    # A start that fails is one of several.
    calls = iter(range(4, 100))
    monkeypatch.setattr(optimisers, "differentiate", exact)
    monkeypatch.setattr("nnqm.learning.fit._redrawn", lambda *_: np.array([np.nan, 0.0]))
    found = nnqm.fit(theory, target, restarts=2, rng=1)
    assert found.starts[1:] == (np.inf, np.inf)
    assert "2 starts failed" in str(found)


# ---- linear networks


def test_closed_forms_of_linear_networks_agree_with_sums_over_grids(monkeypatch):
    from nnqm.learning.linear_networks import LinearObservables
    from nnqm.learning.one_layer import OneLayer

    rng = np.random.default_rng(1)
    layers = [rng.normal(size=(3, 2)), rng.normal(size=(2, 3))]
    network = nnqm.Network(layers, [rng.normal(size=3), rng.normal(size=2)], activation=["identity", "identity"])
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.7], [1.0, 0.8]), network, mass=1.3, hbar=0.7)
    observables = [
        TwoPoint([0, 0.3, 1.1]),
        TwoPoint([0, 0.5], connected=False, channel=1),
        SpectralWeights([[0, 0], [1, 0], [0, 1], [1, 1]]),
        Moments([1, 2, 3, 4], channel=1),
        Commutator(),
        MomentumSquared(1),
        NPoint([[0, 0.3, 0.1, 0.7], [0, 0, 0, 1.0]], channel=1),
        NPoint([[0, 0.3, 0.1]]),
        TwoPoint([0.3, 1.0], channel="y2"),
    ]
    closed = differentiate(theory, observables)
    cotangents = [rng.normal(size=what.size) for what in observables]
    pulled, rows = closed.pullback(cotangents), closed.jacobian()
    (found,) = differentiate(theory, [Moments([2, 6])]).values
    assert found[1] == pytest.approx(15 * found[0] ** 3, rel=1e-14)
    for other_method in (LinearObservables, OneLayer):
        monkeypatch.setattr(other_method, "serves", lambda theory, what: False)
    grid = differentiate(theory, observables)
    # Sums over grids leave out states that contribute less than 1e-9.
    for one, other in zip(closed.values, grid.values, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    monkeypatch.undo()
    every = np.concatenate(cotangents)
    for name, derivatives in pulled.items():
        np.testing.assert_allclose(every @ rows[name], derivatives, rtol=1e-12, atol=1e-12)
        free = FreeParameters(theory, name)
        gradient, step = free.gradient(free.start, {name: derivatives}), 1e-5
        for unit, derivative in zip(step * np.eye(len(gradient)), gradient, strict=True):
            above, below = (
                every @ np.concatenate(differentiate(free.theory(free.start + s * unit), observables).values)
                for s in (1, -1)
            )
            assert derivative == pytest.approx((above - below) / (2 * step), rel=1e-7, abs=1e-7)
    with pytest.raises(nnqm.errors.InputError, match="columns"):
        differentiate(theory, [SpectralWeights([[1]])])


# ---- quality


@pytest.mark.slow
def test_p_values_of_correlators_are_uniform():
    rng = np.random.default_rng(1)
    times = np.array([0.0, 0.2, 0.5, 1.0, 1.6, 2.5])
    true = 0.6 * np.exp(-times) + 0.1 * np.exp(-3 * times)
    root = np.linalg.cholesky(1e-6 * np.exp(-np.abs(times[:, None] - times)))
    found = []
    for _ in range(60):
        data = true + root @ rng.normal(size=len(times))
        target = nnqm.Target(TwoPoint(times), data, root @ root.T)
        found.append(nnqm.fit(linear([1.0, 3.0]), target, free=("network", "omega")))
    assert_uniform([fit.p_value for fit in found])
    assert abs(found[0].degrees_of_freedom - 2) < 0.2
    # The covariance of the parameters is that of the fits: log of the slow rate.
    logs = np.array([fit.parameters[-2] for fit in found])
    expected = np.mean([fit.covariance[-2, -2] for fit in found])
    ratio = logs.var(ddof=1) / expected
    assert stats.chi2.ppf(1e-4, 59) / 59 < ratio < stats.chi2.ppf(1 - 1e-4, 59) / 59


@pytest.mark.slow
def test_p_values_with_an_estimated_covariance_are_uniform():
    rng = np.random.default_rng(2)
    times = np.array([0.0, 0.2, 0.5, 1.0, 1.6, 2.5])
    true = np.exp(-times) / 2
    p = []
    for _ in range(50):
        samples = true + 0.03 * rng.normal(size=(60, len(times))) * true
        p.append(nnqm.fit(linear([1.1]), nnqm.Target(TwoPoint(times), samples), free=("network", "omega")).p_value)
    assert_uniform(p)


def test_quality_of_a_fit_without_parameters_is_that_of_hotelling(quartic_run):
    estimate = quartic_run.connected()[:4]
    target = nnqm.Target(TwoPoint(0.1 * np.array(quartic_run.lags[:4])), estimate)
    other = estimate.value + np.linalg.cholesky(estimate.covariance()) @ [1.0, -0.7, 1.6, 0.5]
    residual = target.white @ (other - target.values)
    found = judge([target], [other], [0.0], residual, np.zeros((4, 1)))
    assert 0.1 < found.p_value < 0.9
    assert found.p_value == pytest.approx(estimate.consistency(other), rel=1e-4)
    assert found.degrees_of_freedom == 4
    distance = np.linalg.solve(estimate.covariance(), other - target.values) @ (other - target.values)
    assert found.chi_squared == pytest.approx(distance * (128 - 4 - 2) / (128 - 1), rel=1e-9)
    assert not found.covariance.any()


def test_errors_of_parameters_are_those_of_a_linear_fit():
    rng = np.random.default_rng(3)
    design, values = 5 * rng.normal(size=(6, 2)), rng.normal(size=6)
    root = np.eye(6) + 0.1 * rng.normal(size=(6, 6))
    covariance = root @ root.T
    weights = np.linalg.inv(covariance)
    expected = np.linalg.inv(design.T @ weights @ design)
    fitted = design @ (expected @ design.T @ weights @ values)
    chi = (values - fitted) @ weights @ (values - fitted)
    for n_samples in (None, 80):
        target = nnqm.Target(TwoPoint(np.arange(6.0)), values, covariance, n_samples=n_samples)
        residual = target.white @ (fitted - values)
        found = judge([target], [fitted], [0.0], residual, target.white @ design)
        assert found.degrees_of_freedom == pytest.approx(4, abs=1e-3)
        if n_samples is None:
            np.testing.assert_allclose(found.covariance, expected, rtol=1e-9)
            assert found.p_value == pytest.approx(stats.chi2.sf(chi, 4), rel=1e-2)
        else:
            # Rao 1967, and Hotelling's distribution in the four dimensions that are left.
            np.testing.assert_allclose(found.covariance, expected * (79 + chi) / (79 - 4), rtol=1e-4)
            assert found.p_value == pytest.approx(stats.f.sf(chi * 76 / (4 * 79), 4, 76), rel=1e-2)


def test_quality_of_several_targets_is_that_of_their_union():
    rng = np.random.default_rng(4)
    design, values = 5 * rng.normal(size=(7, 2)), rng.normal(size=7)
    fitted = design @ np.linalg.lstsq(design, values)[0]
    parts = [slice(0, 4), slice(4, 7)]
    targets = [nnqm.Target(TwoPoint(np.arange(7.0)[p]), values[p], errors=1.0) for p in parts]
    exact = nnqm.Target(Moments([4]), 1.0)
    found = judge(
        [*targets, exact],
        [*(fitted[p] for p in parts), np.ones(1)],
        [0.0] * 3,
        np.append(fitted - values, 0.0),
        np.concatenate([design, np.zeros((1, 2))]),
    )
    chi = float(np.sum((fitted - values) ** 2))
    assert found.chi_squared == pytest.approx(chi)
    assert found.degrees_of_freedom == pytest.approx(5, abs=1e-3)
    assert found.p_value == pytest.approx(stats.chi2.sf(chi, 5), rel=1e-2)
    assert sum(row.degrees_of_freedom for row in found.targets[:2]) == pytest.approx(5, abs=1e-3)
    assert found.targets[2].chi_squared is None
    # The chi^2 of a part of the residuals is a sum of squares with its own weights: by sampling.
    projector = np.eye(7) - design @ np.linalg.pinv(design)
    drawn = rng.normal(size=(20_000, 7)) @ projector
    p = np.mean((drawn[:, :4] ** 2).sum(axis=1) > found.targets[0].chi_squared)
    assert found.targets[0].p_value == pytest.approx(p, abs=0.03)


def test_restarts_are_drawn_in_units_of_the_inputs():
    from nnqm.learning.fit import _redrawn

    def drawn(sigma):
        theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0, sigma), nnqm.Network.random((1, 4, 1), rng=1))
        return _redrawn(theory, ("network",), np.random.default_rng(1))

    np.testing.assert_allclose(drawn(100.0)[:4], drawn(1.0)[:4] / 100)
    np.testing.assert_array_equal(drawn(100.0)[4:], drawn(1.0)[4:])


def test_a_fit_prints_a_table():
    theory, target = convex()
    measured = nnqm.Target(TwoPoint([0.0, 1.0]), [1.2, 0.5], errors=0.1)
    text = str(nnqm.fit(theory, [target, measured]))
    for part in ("least-squares", "moments 1, 2", "connected two-point function", "chi^2", "converged"):
        assert part in text
    assert "\n" in repr(nnqm.fit(theory, target))


# ---- targets


def test_values_of_every_kind_give_the_same_target(quartic_run):
    estimate, times = quartic_run.connected()[:4], 0.1 * np.array(quartic_run.lags[:4])
    own = nnqm.Target(TwoPoint(times), estimate)
    np.testing.assert_array_equal(own.values, estimate.value)
    np.testing.assert_allclose(own.covariance, estimate.covariance(), rtol=1e-12)
    plain = nnqm.Target(TwoPoint(times), estimate.value, estimate.covariance(), n_samples=128)
    np.testing.assert_allclose(plain.white, own.white, rtol=1e-9, atol=1e-9)
    diagonal = nnqm.Target(TwoPoint(times), estimate.value, errors=estimate.error)
    np.testing.assert_allclose(diagonal.errors, estimate.error)
    assert diagonal.n_samples is None
    assert nnqm.Target(Moments([4]), quartic_run.moments()[2]).size == 1
    chosen = nnqm.Target.two_point(quartic_run, lags=[0, 3])
    np.testing.assert_allclose(chosen.observable.times, [0, 0.3])


def test_objects_of_gvar_are_read(monkeypatch):
    class GVar:
        def __init__(self, mean):
            self.mean = mean

    GVar.__module__ = "gvar"
    module = types.SimpleNamespace(
        mean=lambda entries: [e.mean for e in entries], evalcov=lambda entries: 1e-4 * np.eye(len(entries))
    )
    monkeypatch.setitem(sys.modules, "gvar", module)
    target = nnqm.Target(TwoPoint([0.0, 1.0]), [GVar(0.5), GVar(0.2)])
    np.testing.assert_allclose(target.covariance, 1e-4 * np.eye(2), atol=1e-12)
    np.testing.assert_allclose(target.values, [0.5, 0.2])
    assert nnqm.Target(Commutator(), GVar(1.0)).size == 1


def test_systematic_errors_of_an_estimate_count(quartic_run):
    estimate = quartic_run.connected()[:2]
    wide = nnqm.Target(TwoPoint([0.0, 0.1]), estimate.with_systematic(0.3))
    np.testing.assert_allclose(np.diag(wide.covariance), estimate.error**2 + 0.09)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], None), "one entry per value of the observable, 2; got 1"),
        (([1.0, np.nan], None), r"values\[1\]=nan"),
        (([1.0, 0.5], [[1.0, 1.0], [1.0, 1.0]]), r"singular: values \[0, 1\] depend"),
        (([1.0, 0.5], [[1.0, 2.0], [2.0, 1.0]]), "symmetric, with no element above"),
        (([1.0, 0.5], [[1.0, 0.0], [0.0, 0.0]]), r"values \[1\] have no error"),
        (([1.0, 0.5], [[-1.0, 0.0], [0.0, 1.0]]), "squared errors on its diagonal"),
        ((np.ones((15, 2)), None), "at least 20 independent samples"),
    ],
)
def test_values_and_covariances_that_are_no_target_are_refused(arguments, message):
    with pytest.raises(nnqm.errors.InputError, match=message) as refused:
        nnqm.Target(TwoPoint([0.0, 1.0]), *arguments)
    assert "connected two-point function" in str(refused.value)


def test_settings_and_values_that_are_no_target_are_refused(quartic_run):
    pair = TwoPoint([0.0, 1.0])
    for settings, message in (
        ({"covariance": np.eye(2), "errors": 1.0}, "exclude each other"),
        ({"errors": [1.0, -1.0]}, r"errors\[1\]=-1"),
        ({"tolerance": 0.0}, "positive"),
        ({"errors": 1.0, "tolerance": 1.0}, "leave it out"),
        ({"n_samples": 10}, "belongs to a covariance"),
        ({"tolerance": [1.0, 1.0, 1.0]}, "shape"),
    ):
        with pytest.raises(nnqm.errors.InputError, match=message):
            nnqm.Target(pair, [1.0, 0.5], **settings)
    for values, message in (
        ([quartic_run.mean(), 1.0], "all estimates or all numbers"),
        (quartic_run, "two_point"),
        ([1j, 2.0], "values must be real"),
        ("ab", "values must be real"),
    ):
        with pytest.raises(nnqm.errors.InputTypeError, match=message):
            nnqm.Target(pair, values)
    with pytest.raises(nnqm.errors.InputTypeError, match="observable must be one of"):
        nnqm.Target("two-point", [1.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "adams"}, "did you mean 'adam'"),
        ({"free": ("networks",)}, "free must be names"),
        ({"rate": 0.1}, "rate belongs to adam"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"loss_tolerance": -1.0}, "loss_tolerance must be positive"),
        ({"restarts": -1}, "restarts must be at least 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(nnqm.errors.InputError, match=message):
        nnqm.fit(oscillators(), nnqm.Target(SpectralWeights(4), WEIGHTS), **settings)


def test_bad_theories_and_targets_are_refused():
    target = nnqm.Target(SpectralWeights(4), WEIGHTS)
    random = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 4, 1)))
    with pytest.raises(nnqm.errors.InputError, match="fixed weights"):
        nnqm.fit(random, target)
    for theory, given, message in (
        (1, target, "theory must be a Theory"),
        (oscillators(), [target, 1], r"targets\[1\] must be a Target"),
    ):
        with pytest.raises(nnqm.errors.InputTypeError, match=message):
            nnqm.fit(theory, given)
    with pytest.raises(nnqm.errors.InputError, match="at least one"):
        nnqm.fit(oscillators(), [])
    with pytest.raises(nnqm.errors.InputTypeError, match="rates"):
        nnqm.fit(oscillators(), target, rates=1.0)


# ---- what is impossible


T = np.array([0.0, 0.5, 1.0, 1.5, 2.0])


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (nnqm.Target(TwoPoint(T), [1, 0.5, 0.6, 0.2, 0.1]), r"does not rise; got G\(0.5\) = 0.5 < G\(1\) = 0.6"),
        (nnqm.Target(TwoPoint(T), [1, 0.5, 0.1, -0.1, 0.01]), r"not negative; got G\(1.5\) = -0.1"),
        (nnqm.Target(TwoPoint(T), [0.5, 0.6, 0.3, 0.2, 0.1]), r"\|G\(t\)\| <= G\(0\)"),
        (nnqm.Target(TwoPoint(T), np.exp(-(T**2))), "logarithm of a positive sum of decays is convex"),
        (nnqm.Target(TwoPoint(T), 1 / (1 + T**2), errors=1e-4), "convex"),
        (nnqm.Target(SpectralWeights(3), [0.5, -0.1, 0.2]), "squares of matrix elements.*weight 2 = -0.1"),
        (nnqm.Target(Moments([2, 4]), [1.0, 0.9]), "kurtosis E z"),
        (nnqm.Target(Moments([2, 6]), [1.0, 0.5]), r"m_6 >= m_2\^3 \(Lyapunov\); got m_6 = 0.5 and m_2 = 1"),
        (nnqm.Target(Moments([4, 6]), [3.0, 1.0], errors=0.1), r"m_6 >= m_4\^1.5"),
        (nnqm.Target(Moments([2]), [-1.0], errors=0.01), "even central moments"),
        (nnqm.Target(Moments([2, 3, 4]), [1.0, 2.0, 4.0]), "Hankel"),
        (nnqm.Target(Commutator(), [-1.0]), "is positive; got C"),
        (nnqm.Target(Commutator(), 0.0), "is positive; got C"),
        (nnqm.Target(MomentumSquared(), [-0.5], errors=0.01), "square of an operator"),
        (nnqm.Target(NPoint([[0.0, 0.1, 0.3, 0.4]]), [-1.0]), "reflection positivity"),
        (nnqm.Target(Gaps(2), [1.0, 0.5]), "must increase"),
        (nnqm.Target(Gaps(2), [-1.0, 0.5]), "gaps are positive"),
        (nnqm.Target(Gaps(2), [1.0, 2.5]), r"gap 2 = 2.5 is off the lattice.*nearest one is 2,"),
    ],
)
def test_an_impossible_target_is_refused_with_its_inequality(target, message):
    with pytest.raises(nnqm.errors.InputError, match=message):
        nnqm.fit(oscillators(), target)


def test_a_violation_within_errors_is_no_violation():
    values = [1, 0.5, 0.52, 0.2, 0.1]
    nnqm.fit(oscillators(), nnqm.Target(TwoPoint(T), values, errors=0.03), steps=2)
    with pytest.raises(nnqm.errors.InputError, match="does not rise"):
        nnqm.fit(oscillators(), nnqm.Target(TwoPoint(T), values, errors=0.001), steps=2)
    # Digits that are left out are no violation either.
    nnqm.fit(oscillators(), nnqm.Target(TwoPoint(T), np.exp(-T).round(4)), steps=2)
    # Errors of neighbours that are correlated leave their differences precise.
    close = 1e-2 * (0.9999 + 1e-4 * np.eye(5))
    with pytest.raises(nnqm.errors.InputError, match="does not rise"):
        nnqm.fit(oscillators(), nnqm.Target(TwoPoint(T), values, close), steps=2)


def test_targets_that_exclude_each_other_are_refused():
    variance, weights = nnqm.Target(Moments([2]), [0.5]), nnqm.Target(SpectralWeights(2), [0.4, 0.2])
    with pytest.raises(nnqm.errors.InputError, match=r"sum of all spectral weights.*0.6 and the variance 0.5"):
        nnqm.fit(oscillators(), [variance, weights])
    momentum, commutator = nnqm.Target(MomentumSquared(), [0.4]), nnqm.Target(Commutator(), [1.0])
    with pytest.raises(nnqm.errors.InputError, match="Robertson"):
        nnqm.fit(oscillators(), [variance, momentum, commutator])
    # The harmonic oscillator attains the bound.
    nnqm.fit(oscillators(), [variance, nnqm.Target(MomentumSquared(), [0.5]), commutator], steps=1)


def test_a_correlator_that_no_positive_measure_has_is_refused():
    # It is positive, falls, and has a convex logarithm, but is not completely monotone.
    times = np.arange(6.0)
    values = np.array([1.0, 0.5, 0.26, 0.15, 0.09, 0.0555])
    values[2] -= 0.004
    assert np.all(np.diff(np.log(values), 2) >= 0)
    with pytest.raises(nnqm.errors.InputError, match="no positive sum of decays comes nearer"):
        nnqm.fit(oscillators(), nnqm.Target(TwoPoint(times), values, errors=1e-6))
    # The variance and G(0) are one number.
    with pytest.raises(nnqm.errors.InputError, match="no positive sum of decays"):
        nnqm.fit(oscillators(), [nnqm.Target(TwoPoint([0, 1]), [1, 0.4]), nnqm.Target(Moments([2]), [0.5])])


def test_the_functional_of_the_nearest_measure_is_a_proof():
    times = np.array([0.0, 0.4, 1.0, 1.7])

    def kernel(energies):
        return np.exp(-np.outer(times, energies))

    exact = kernel(np.array([0.3, 2.2])) @ [0.5, 0.7]
    squared, _ = nearest_measure(kernel, 1e4 * np.eye(4), exact, (1e-3, 1e3), 0.0)
    assert squared < 1e-4
    wrong = exact + np.array([0, 0, 0.2, 0])
    squared, functional = nearest_measure(kernel, np.eye(4), wrong, (1e-3, 1e3), 0.0)
    assert functional @ wrong == pytest.approx(squared, rel=1e-6)
    assert (functional @ kernel(np.geomspace(1e-3, 1e3, 9999))).max() < 1e-6 * np.abs(functional).max()


def test_times_that_a_theory_does_not_have_are_refused():
    thermal = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.0), nnqm.Network.random((1, 2, 1), rng=1))
    with pytest.raises(nnqm.errors.InputError, match="within the period 2"):
        nnqm.fit(thermal, nnqm.Target(TwoPoint([0.0, 3.0]), [1.0, 0.5]))
    chain = nnqm.MarkovChain([-1.0, 1.0], [[0.8, 0.2], [0.2, 0.8]], 0.5)
    theory = nnqm.Theory(chain, nnqm.Network.random((1, 2, 1), rng=1))
    with pytest.raises(nnqm.errors.InputError, match=r"multiples of the chain's dt=0.5; got 0.3"):
        nnqm.fit(theory, nnqm.Target(TwoPoint([0.0, 0.3]), [1.0, 0.5]))


@pytest.mark.slow
def test_correlators_off_the_lattice_of_fixed_frequencies_are_named():
    times = np.array([0.0, 0.5, 1.0, 2.0])
    slow = nnqm.Target(TwoPoint(times), np.exp(-0.8 * times), errors=1e-3)
    found = nnqm.fit(oscillators(), slow, steps=30)
    (note,) = [note for note in found.notes if "off the lattice" in note]
    least = float(note.partition("residuals of ")[2].partition(" ")[0])
    assert 100 < least <= 1.01 * found.chi_squared
    assert not found.targets[0].describes
    # On the lattice, and with a free frequency.
    on = nnqm.Target(TwoPoint(times), np.exp(-times) / 2 + np.exp(-2 * times) / 4, errors=1e-3)
    assert not nnqm.fit(oscillators(), on, method="l-bfgs").notes
    assert not nnqm.fit(oscillators(), slow, free=("network", "omega"), method="l-bfgs").notes


def test_gaps_of_free_frequencies_are_sums_of_few():
    two = oscillators([1.0, 1.5], widths=(2, 3, 1))
    with pytest.raises(nnqm.errors.InputError, match=r"2 is a sum of the gaps 1"):
        nnqm.fit(two, nnqm.Target(Gaps(3), [1.0, 2.5, 3.5]), free="omega")
    # A frequency on top of sums of the other: 1, 2, 2.5, 3, 3.5; and a level of two states.
    for gaps in ([1.0, 2.0, 2.5, 3.0, 3.5], [1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 4.0]):
        check_targets(two, [nnqm.Target(Gaps(len(gaps)), gaps)], ("omega",))
    with pytest.raises(nnqm.errors.InputError, match=r"3.5 is a sum of the gaps 1, 2.5"):
        nnqm.fit(two, nnqm.Target(Gaps(5), [1.0, 2.0, 2.5, 3.0, 4.0]), free="omega")
    with pytest.raises(nnqm.errors.InputError, match=r"1, 1.2, 1.7 are no sums of each other"):
        nnqm.fit(two, nnqm.Target(Gaps(3), [1.0, 1.2, 1.7]), free="omega")
