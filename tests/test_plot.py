"""Pictures hold the numbers of the API, on the axes that are given, in colours that everybody can tell apart."""

import functools
from itertools import pairwise

import numpy as np
import pytest
import xarray
from matplotlib import colormaps, colors, rc_context, rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

import nnqm
from harness import assert_consistent, assert_each_consistent
from interpreter import answer
from nnqm import fields, plot, results
from nnqm.errors import InputError, InputTypeError
from nnqm.plot.style import COLOURS, EXACT, FITTED, LINES, MARKERS, MEASURED, apart

WELLS = nnqm.Hamiltonian([1.5**4, 0, -2 * 1.5**2, 0, 1])


@functools.cache
def oscillator():
    return nnqm.simulate(nnqm.builtin_theory("oscillator"), 8192, 64, 0.2, rng=1)


@functools.cache
def thermal():
    theory = nnqm.Theory(nnqm.ThermalOrnsteinUhlenbeck(omega=1.0, beta=4.0))
    return nnqm.simulate(theory, 4096, 16, 0.25, rng=1)


@functools.cache
def tanh():
    return nnqm.simulate(nnqm.builtin_theory("deep-tanh"), 4096, 32, 0.2, rng=1)


@functools.cache
def few_paths():
    """Too few for any level."""
    return nnqm.simulate(nnqm.builtin_theory("deep-tanh"), 300, 16, 0.2, rng=1)


@functools.cache
def given():
    return nnqm.accumulate(nnqm.sample_paths(nnqm.builtin_theory("oscillator"), 2048, 16, 0.2, rng=2), 0.2)


@functools.cache
def report():
    return nnqm.analyse(oscillator(), positivity=False)


@functools.cache
def levels_found():
    return nnqm.spectrum(oscillator(), 6)


@functools.cache
def violated():
    g = np.random.default_rng(1)
    t = 0.2 * np.arange(24)
    paths = np.sqrt(2) * np.cos(t * g.standard_cauchy(2000)[:, None] + 2 * np.pi * g.random(2000)[:, None])
    return nnqm.reflection_positivity(paths, dt=0.2)


@functools.cache
def modes_found():
    return nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 4.0), 12)


@functools.cache
def box_run():
    return nnqm.simulate(nnqm.Theory(fields.PeriodicBox(mass=1.0, sites=4)), 4000, 16, 0.2, rng=1)


@functools.cache
def box_dispersion():
    return fields.dispersion(box_run())


@functools.cache
def dynamics():
    start = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="sin"))
    networks = [start.network.with_parameters([w, 0.0, 1.0, 0.0]) for w in (0.5, 1.0, 2.0)]
    along = nnqm.Trajectory.of_checkpoints(start, networks, [0, 10, 1000])
    return nnqm.training_dynamics(along, n_levels=3, positivity=False)


@functools.cache
def theories_scanned():
    theories = {name: nnqm.builtin_theory(name) for name in ("oscillator", "deep-tanh")}
    return nnqm.scan(theories, n_levels=3, positivity=False)


def measure(name):
    return nnqm.kallen_lehmann(nnqm.builtin_theory(name))


# Every function, with cases in which something is missing.
PICTURES = {
    "correlator": lambda ax: oscillator().plot(ax),
    "correlator of closed paths": lambda ax: thermal().plot(ax),
    "correlator alone": lambda ax: plot.correlator(measure("deep-tanh"), ax),
    "correlator of few paths": lambda ax: few_paths().plot(ax, exact=False),
    "effective energies": lambda ax: plot.effective_energies(oscillator(), ax),
    "effective energies of closed paths": lambda ax: plot.effective_energies(thermal(), ax),
    "effective energies, none resolved": lambda ax: plot.effective_energies(few_paths(), ax),
    "commutator": lambda ax: plot.commutator(oscillator(), ax),
    "commutator of a network": lambda ax: plot.commutator(tanh(), ax),
    "commutator of an expansion": lambda ax: plot.commutator(modes_found(), ax),
    "levels": lambda ax: levels_found().plot(ax, exact=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
    "levels of a report": lambda ax: report().plot(ax),
    "levels, none resolved": lambda ax: nnqm.analyse(few_paths(), positivity=False).plot(ax),
    "levels of one correlator": lambda ax: nnqm.OneCorrelator(oscillator()).plateau().plot(ax),
    "spectral measure": lambda ax: measure("deep-tanh").plot(ax),
    "spectral measure and levels": lambda ax: plot.spectral_measure(measure("oscillator"), ax, spectrum=levels_found()),
    "reflection": lambda ax: violated().plot(ax),
    "reflection of a kernel": lambda ax: nnqm.positivity_certificate(nnqm.Kernel.matern(1.5), 9, 0.3).plot(ax),
    "modes": lambda ax: modes_found().plot(ax),
    "eigenvalues": lambda ax: plot.modes(modes_found(), ax, quantity="eigenvalues"),
    "ground state": lambda ax: WELLS.plot(ax),
    "density": lambda ax: plot.density(oscillator(), ax, n_paths=200),
    "density of a network": lambda ax: plot.density(tanh(), ax, n_paths=200),
    "paths": lambda ax: plot.paths(nnqm.builtin_theory("double-well"), ax),
    "training": lambda ax: dynamics().plot(ax),
    "training, two of them": lambda ax: plot.training(
        {"one": dynamics(), "other": dynamics()}, ax, quantity="kurtosis"
    ),
    "scan": lambda ax: plot.scan(theories_scanned(), ax),
    "propagator": lambda ax: plot.propagator(box_run(), ax, lags=(0, 2)),
    "dispersion": lambda ax: box_dispersion().plot(ax),
}
# Nothing can be drawn: the axes say why.
NOTHING = {
    "no uniform grid": lambda ax: plot.correlator(irregular(), ax),
    "no lags for energies": lambda ax: plot.effective_energies(irregular(), ax),
    "no increments": lambda ax: plot.commutator(irregular(), ax),
    "no levels": lambda ax: nnqm.analyse(irregular(), positivity=False).plot(ax),
    "no paths": lambda ax: plot.paths(given(), ax),
    "no density": lambda ax: plot.density(given(), ax),
    "not stationary": lambda ax: plot.density(nnqm.Paths(of_t(), 100, 8, 0.2, rng=1), ax),
    "no value": lambda ax: plot.training(dynamics(), ax, quantity="positivity"),
    "no loss": lambda ax: plot.training(dynamics(), ax, quantity="loss"),
    "nothing scanned": lambda ax: plot.scan(theories_scanned(), ax, quantity="positivity"),
}


@functools.cache
def irregular():
    return nnqm.simulate(nnqm.builtin_theory("oscillator"), 2048, times=[0, 0.1, 0.3, 0.7], rng=1)


@functools.cache
def of_t():
    return nnqm.Theory(nnqm.Times(), nnqm.RandomNetwork((1, 8, 1)))


def empty():
    return Figure(figsize=(6, 4)).subplots()


def points(ax, label="measured"):
    """Places, values and half the lengths of the bars of the points with a label, in order."""
    found = [c for c in ax.containers if c.get_label() == label]
    x = np.concatenate([c.lines[0].get_xdata() for c in found])
    y = np.concatenate([c.lines[0].get_ydata() for c in found])
    bars = [c.lines[2][-1].get_segments() for c in found]
    return x, y, np.array([np.ptp(segment[:, 1]) / 2 for segments in bars for segment in segments])


def line(ax, label):
    (found,) = [drawn for drawn in ax.lines if str(drawn.get_label()).startswith(label)]
    return found.get_data()


def texts(ax):
    return [t.get_text() for t in ax.texts]


# ---- numbers


def test_the_two_point_function_is_drawn_up_to_the_noise_with_the_exact_curve():
    ax = oscillator().plot(empty())
    times, values, errors = points(ax)
    run, n = oscillator(), len(times)
    estimate = run.connected()
    assert 5 < n <= len(run.lags)
    assert np.array_equal(times, 0.2 * np.array(run.lags[:n]))
    assert np.array_equal(values, estimate.value[:n])
    assert errors == pytest.approx(estimate.error[:n])
    assert (values > 2 * estimate.error[:n]).all()
    assert n == len(run.lags) or (estimate.value[n] <= 2 * estimate.error[n] and "lost in noise" in texts(ax)[0])
    t, exact = line(ax, "exact")
    assert exact == pytest.approx(0.5 * np.exp(-t))
    assert ax.get_yscale() == "log"
    everything = points(plot.correlator(run, empty(), log=False, exact=False))
    assert np.array_equal(everything[1], estimate.value)


@pytest.mark.slow
def test_exact_values_may_be_given_and_drawn_alone():
    function = measure("deep-tanh")
    t, values = line(plot.correlator(function, empty()), "exact")
    np.testing.assert_array_equal(values, function.connected(t))
    t, values = line(plot.correlator(given(), empty(), exact=measure("oscillator")), "exact")
    assert values == pytest.approx(0.5 * np.exp(-t))
    assert "exact" not in [drawn.get_label() for drawn in given().plot(empty()).lines]
    closed = nnqm.thermal_measure(thermal().theory)
    t, values = line(closed.plot(empty()), "exact")
    assert (t[0], t[-1]) == (0, 4.0)
    assert values == pytest.approx(values[::-1])


def test_effective_energies_and_the_plateau_are_the_ones_of_the_estimators():
    run = oscillator()
    ax = plot.effective_energies(run, empty())
    times, energy = nnqm.effective_energy(run)
    x, y, errors = points(ax)
    np.testing.assert_array_equal((x, y), (times, energy.value))
    assert errors == pytest.approx(energy.total_error)
    assert line(ax, "exact")[1] == pytest.approx(1.0)
    found = nnqm.OneCorrelator(run).plateau()
    gap = found.levels[0].gap
    at, value = line(ax, "plateau")
    assert list(at) == [found.times[0], found.times[-1]]
    assert list(value) == [float(gap.value)] * 2
    edges = [np.ptp(band.get_paths()[0].vertices[:, 1]) / 2 for band in ax.collections[-2:]]
    assert edges == pytest.approx([float(gap.total_error), float(gap.error)])
    assert f"plateau {gap}, resolved" in [t.get_text() for t in ax.get_legend().get_texts()]


def test_effective_energies_of_closed_paths_know_the_period():
    times, energy = nnqm.OneCorrelator(thermal()).effective_energy()
    x, y, _ = points(plot.effective_energies(thermal(), empty()))
    np.testing.assert_array_equal((x, y), (times, energy.value))


def test_a_plateau_that_is_not_resolved_is_no_line():
    ax = plot.effective_energies(few_paths(), empty())
    assert [t for t in texts(ax) if "no plateau is resolved: few blocks" in t]
    assert not [drawn for drawn in ax.lines if str(drawn.get_label()).startswith("plateau")]


def test_the_commutator_is_drawn_with_its_limit_and_the_polynomial_to_it():
    run = oscillator()
    ax = plot.commutator(run, empty())
    lags, values, errors = points(ax)
    assert np.array_equal(lags, 0.2 * np.array(run.increment_lags))
    estimate = nnqm.commutator_at_lags(run)
    np.testing.assert_array_equal(values, estimate.value)
    np.testing.assert_allclose(errors, estimate.total_error, rtol=1e-9)
    assert_consistent(estimate[:12], (-np.expm1(-lags) / lags)[:12])
    t, curve = line(ax, "exact")
    assert curve == pytest.approx(-np.expm1(-t) / t)
    limit = nnqm.commutator(run)
    (label,) = [c.get_label() for c in ax.containers if "canonical" in c.get_label()]
    at, value, error = points(ax, label)
    assert (at, value) == (0, float(limit.estimate.value))
    assert error == pytest.approx(float(limit.estimate.total_error))
    (dashes,) = [drawn for drawn in ax.lines if drawn.get_linestyle() == "--"]
    t, curve = dashes.get_data()
    assert curve[0] == pytest.approx(float(limit.estimate.value), rel=1e-9)
    assert np.interp(0.2 * np.arange(1, limit.n_lags), t, curve) == pytest.approx(values[: limit.n_lags - 1], rel=1e-3)


@pytest.mark.slow
def test_commutators_of_exact_functions_and_of_expansions():
    function = measure("deep-tanh")
    ax = plot.commutator(function, empty())
    lags, values = line(ax, "exact")
    np.testing.assert_array_equal(values, function.commutator_at(lags))
    assert line(ax, r"$\epsilon \to 0$") == (pytest.approx([0.0]), pytest.approx([function.commutator]))
    lags, values = line(plot.commutator(modes_found(), empty()), "12 modes")
    np.testing.assert_array_equal(values, modes_found().commutator_at(lags))
    assert values[0] < 0.1 < values.max()
    chain = nnqm.kallen_lehmann(nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.3, 0.7], [0.7, 0.3]], 0.1)))
    lags, values = line(plot.commutator(chain, empty()), "exact")
    assert lags == pytest.approx(0.1 * np.arange(1, len(lags) + 1))
    np.testing.assert_array_equal(values, chain.commutator_at(lags))


def test_levels_have_their_errors_verdicts_and_exact_values():
    found, exact = levels_found(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    ax = found.plot(empty(), exact=exact)
    resolved = [level for level in found.levels if level.resolved]
    others = [level for level in found.levels if not level.resolved]
    assert resolved
    assert others
    x, values, errors = points(ax)
    assert x.tolist() == list(range(len(resolved)))
    assert values.tolist() == [float(level.gap.value) for level in resolved]
    assert errors == pytest.approx([float(level.gap.total_error) for level in resolved])
    assert [t for t in texts(ax) if t] == [str(level.verdict) for level in others]
    assert [t.get_text() for t in ax.get_xticklabels()] == [str(n) for n in range(1, 7)]
    drawn = [s[0, 1] for c in ax.collections for s in c.get_segments() if np.ptp(s[:, 1]) == 0 and len(s) == 2]
    assert set(exact) <= set(drawn)


def test_levels_of_a_report_are_its_rows():
    rows = [row for row in report().rows if row.group == "levels"]
    measured = [row for row in rows if row.estimate is not None]
    ax = report().plot(empty())
    x, values, errors = points(ax)
    assert values.tolist() == [float(row.estimate.value) for row in measured]
    assert errors == pytest.approx([float(row.estimate.total_error) for row in measured])
    assert x.tolist() == [i for i, row in enumerate(rows) if row.estimate is not None]
    assert not [c for c in ax.containers if c.get_label() == "not resolved"]


@pytest.mark.slow
def test_weights_of_equal_energies_are_added_and_small_ones_bounded():
    ax = measure("oscillator").plot(empty())
    assert line(ax, "exact") == (pytest.approx([1.0]), pytest.approx([0.5]))
    two = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 1.0]), nnqm.Network([[[1.0, 1.0]]], activation="identity"))
    assert line(nnqm.kallen_lehmann(two).plot(empty()), "exact")[1] == pytest.approx([1.0])
    deep = measure("deep-tanh")
    energies, weights = line(deep.plot(empty()), "exact")
    chosen = np.isin(deep.energies, energies)
    np.testing.assert_array_equal(weights, deep.weights[chosen][: len(weights)])
    ax = plot.spectral_measure(measure("double-well"), empty(), spectrum=well_levels())
    x, y, errors = points(ax)
    seen = [v for v in well_levels().levels if v.resolved]
    assert x.tolist() == [float(v.gap.value) for v in seen[::2]]
    assert y.tolist() == [float(v.weight.value) for v in seen[::2]]
    assert errors == pytest.approx([float(v.weight.total_error) for v in seen[::2]])
    # The weight of an even state is zero by symmetry.
    bound = next(drawn for drawn in ax.lines if drawn.get_label() == "measured, upper bound")
    even = seen[1].weight
    assert float(bound.get_ydata()[0]) == max(float(even.value), 0.0) + 2 * float(even.total_error)


@functools.cache
def well_levels():
    return nnqm.spectrum(nnqm.simulate(nnqm.builtin_theory("double-well"), 4096, 128, 0.1, rng=1), 3)


@pytest.mark.slow
def test_reflection_shows_the_eigenvalues_and_the_witness():
    result = violated()
    ax = result.plot(empty())
    for label, values in (
        ("reflection about", result.whitened),
        ("reflection half-way", result.shifted_whitened),
    ):
        np.testing.assert_array_equal(line(ax, label)[1], values)
    x, y, error = points(ax, f"witness: {result.value}")
    assert (x, y) == (0, float(result.value.value))
    assert error == pytest.approx(float(result.value.total_error))
    assert ax.get_title() == f"violated, p = {result.p_value:.2g}"
    assert "".join(texts(ax)[0].split()) == "".join(f"F={result.witness}".split())
    lowest = min(result.whitened[0], result.shifted_whitened[0])
    assert lowest < 0
    # Families alone may have a lower eigenvalue than all together, but not by much.
    assert result.minimum_eigenvalue == pytest.approx(lowest, abs=0.05)
    consistent = nnqm.reflection_positivity(nnqm.Paths(nnqm.harmonic_oscillator(), 400, 24, 0.2, rng=1))
    assert not [t for t in texts(consistent.plot(empty())) if "F =" in t]
    one = nnqm.reflection_positivity(
        nnqm.Paths(nnqm.harmonic_oscillator(), 400, 25, 0.2, rng=1), functionals="linear", about="middle"
    )
    assert one.shifted_whitened is None
    assert one.minimum_eigenvalue == one.whitened[0]
    exact = nnqm.positivity_certificate(nnqm.Kernel.matern(1.5), 9, 0.3)
    np.testing.assert_array_equal(line(exact.plot(empty()), "reflection about")[1], exact.whitened)


def test_modes_are_functions_and_eigenvalues():
    found = modes_found()
    ax = found.plot(empty(), n_modes=3)
    for k, drawn in enumerate(ax.lines[:3]):
        np.testing.assert_array_equal(drawn.get_ydata(), found(drawn.get_xdata())[:, k])
    ax = plot.modes(found, empty(), quantity="eigenvalues")
    np.testing.assert_array_equal(ax.containers[0].lines[0].get_ydata(), found.eigenvalues)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_the_ground_state_stands_in_its_potential():
    ax = WELLS.plot(empty(), n_levels=3)
    x, v = line(ax, "V(x)")
    shown = np.isfinite(v)
    np.testing.assert_array_equal(v[shown], WELLS.potential(x[shown]))
    energies = WELLS.energies(3)
    horizontal = [drawn.get_ydata()[0] for drawn in ax.lines if len(drawn.get_xdata()) == 2]
    assert horizontal == energies.tolist()
    curves = [drawn for drawn in ax.lines if len(drawn.get_xdata()) == len(x) and drawn.get_label() != "V(x)"]
    heights = [
        (drawn.get_ydata() - e).max() / WELLS.density(n, x).max()
        for n, (drawn, e) in enumerate(zip(curves, energies, strict=True))
    ]
    # One scale for all densities.
    assert heights == pytest.approx([heights[0]] * 3)
    assert np.allclose(curves[0].get_ydata() - energies[0], heights[0] * WELLS.density(0, x))
    assert [t for t in texts(ax) if t.startswith("$E_{0}$")] == [f"$E_{{0}}$ = {energies[0]:.5g}"]


def test_levels_that_are_one_in_double_precision_are_drawn_without_a_density():
    deep = nnqm.Hamiltonian([6.0**4, 0, -2 * 6.0**2, 0, 1])
    ax = deep.plot(empty(), n_levels=2)
    assert len([drawn for drawn in ax.lines if len(drawn.get_xdata()) == 2]) == 2


def histogram(ax):
    (stairs,) = [p for p in ax.patches if p.get_fill()]
    values, edges, _ = stairs.get_data()
    return values, edges, points(ax, "paths")[2]


@pytest.mark.slow
def test_the_density_of_paths_is_the_one_of_the_ground_state():
    paths = nnqm.Paths(nnqm.builtin_theory("double-well"), 1000, 32, 0.2, rng=1)
    ax = plot.density(paths, empty())
    values, edges, errors = histogram(ax)
    assert np.sum(values * np.diff(edges)) == pytest.approx(1.0)
    x, exact = line(ax, r"$|\psi_0")
    np.testing.assert_array_equal(exact, WELLS.density(0, x))
    # Bins hold equal numbers of lattice points, so that the lattice leaves no pattern.
    inside = [np.linspace(a, b, 21) for a, b in pairwise(edges)]
    mean = np.array([WELLS.density(0, t).mean() for t in inside])
    large = mean > 0.05
    assert_each_consistent(of_bins(paths, edges)[large], mean[large])
    assert errors[large] == pytest.approx(of_bins(paths, edges).error[large], rel=0.3)


def of_bins(paths, edges):
    """The histogram by blocks of ten paths."""
    counts = np.array([np.histogram(block, edges)[0] for block in np.split(paths.read().astype(float), 100)])
    sums = {"n": counts / np.diff(edges), "size": np.full(100, float(paths.read()[:10].size))}
    return nnqm.jackknife(lambda s: s["n"] / s["size"][:, None], sums, np.full(100, 10))


@pytest.mark.parametrize(
    ("theory", "label", "density"),
    [
        (nnqm.harmonic_oscillator(), r"$|\psi_0", lambda x: np.exp(-(x**2)) / np.sqrt(np.pi)),
        (
            nnqm.Theory(nnqm.ThermalProcess(nnqm.Hamiltonian([0, 0, 0.5]), beta=2.0)),
            r"$\sum_n",
            # Variance coth(beta/2)/2 of the thermal oscillator.
            lambda x: np.exp(-(x**2) * np.tanh(1.0)) * np.sqrt(np.tanh(1.0) / np.pi),
        ),
    ],
    ids=["oscillator", "thermal"],
)
def test_exact_densities(theory, label, density):
    x, exact = line(plot.density(nnqm.Paths(theory, 100, 16, 2 / 16, rng=1), empty()), label)
    assert exact == pytest.approx(density(x), abs=1e-6)


def test_the_density_through_a_network_is_the_one_of_its_output():
    # x = 2 y: the density has twice the width.
    network = nnqm.Network([[[2.0]]], activation="identity")
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), network)
    ax = plot.density(nnqm.Paths(theory, 200, 16, 0.2, rng=1), empty(), bins=20)
    (stairs,) = [p for p in ax.patches if not p.get_fill()]
    values, edges, _ = stairs.get_data()
    middle = (edges[1:] + edges[:-1]) / 2
    assert values == pytest.approx(np.exp(-(middle**2) / 4) / np.sqrt(4 * np.pi), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["oscillator", "deep-tanh"])
def test_sample_paths_are_those_of_the_run(name):
    theory = nnqm.builtin_theory(name)
    run = nnqm.simulate(theory, 512, 32, 0.1, rng=2)
    ax = plot.paths(run, empty(), n_paths=4)
    drawn = np.array([path.get_ydata() for path in ax.lines])
    np.testing.assert_array_equal(drawn, nnqm.sample_paths(theory, 4, 32, 0.1, rng=2)[..., 0])
    array = nnqm.sample_paths(theory, 4, 32, 0.1, rng=2)
    again = plot.paths(array, empty(), n_paths=9, dt=0.1)
    np.testing.assert_array_equal([path.get_ydata() for path in again.lines], drawn)
    np.testing.assert_allclose(again.lines[0].get_xdata(), run.times)


def test_fields_are_drawn_beside_their_exact_functions():
    run, box = box_run(), box_run().theory.sources[0]
    found = fields.correlator_by_distance(run)
    ax = plot.propagator(run, empty(), lags=(0, 2))
    for k in (0, 2):
        label = rf"$\tau$ = {found.times[k]:.4g}"
        _, values, _ = points(ax, label)
        assert set(values) <= set(found.values.value[:, k])
    lines = [drawn.get_ydata() for drawn in ax.lines if len(drawn.get_xdata()) == len(found.distances)]
    for exact in (box.propagator(found.times[k], found.displacements) for k in (0, 2)):
        assert any(np.array_equal(exact, drawn) for drawn in lines)
    energies = box_dispersion()
    ax = energies.plot(empty(), n_particles=2)
    _, values, errors = points(ax)
    assert values.tolist() == [float(e.value) for e in energies.energies if e is not None]
    assert errors == pytest.approx([float(e.total_error) for e in energies.energies if e is not None])
    np.testing.assert_array_equal(line(ax, r"$\omega(q)$")[1], energies.thresholds(1))
    np.testing.assert_array_equal(line(ax, "2 particles")[1], energies.thresholds(2))


# ---- manners


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_axes_come_back_with_labels_and_units_and_pyplot_is_left_alone(name):
    import matplotlib.pyplot as plt

    before = dict(rcParams)
    ax = empty()
    assert PICTURES[name](ax) is ax
    assert not plt.get_fignums()
    assert dict(rcParams) == before
    for text in (ax.get_xlabel(), ax.get_ylabel()):
        assert "[" in text or text in ("training step", "theory"), text
    ax.figure.draw_without_rendering()
    box = ax.get_legend().get_window_extent() if ax.get_legend() else None
    # A legend at the upper left has a place of its own, above all points.
    if box is not None and ax.get_legend()._loc == 2:
        for drawn in ax.lines:
            data = [np.asarray(v, dtype=float) for v in drawn.get_data()]
            if drawn.get_transform() != ax.transData or drawn.get_marker() in ("None", "_"):
                continue
            at = ax.transData.transform(np.column_stack(data))
            assert not [p for p in at if np.isfinite(p).all() and box.contains(*p) and ax.bbox.contains(*p)], name


@pytest.mark.parametrize("name", NOTHING)
def test_axes_without_a_picture_say_why(name):
    ax = empty()
    assert NOTHING[name](ax) is ax
    assert len(texts(ax)) == 1
    assert len(texts(ax)[0]) > 10
    assert not ax.lines


def test_without_axes_there_is_a_new_figure_of_pyplot():
    import matplotlib.pyplot as plt

    first, second = modes_found().plot(), modes_found().plot()
    assert first is not second
    assert plt.get_fignums() == [1, 2]
    assert plt.gca() is second


@pytest.mark.parametrize("name", ["correlator", "levels", "reflection", "ground state", "training", "no paths"])
def test_dark_backgrounds_have_light_text_and_no_black_lines(name):
    with style.context("dark_background"):
        ax = (PICTURES | NOTHING)[name](empty())
        ax.figure.draw_without_rendering()
    legend = ax.get_legend()
    written = [*ax.texts, ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend else [])]
    for text in written:
        assert contrast(text.get_color(), "black") > 4, text.get_text()
    for drawn in ax.lines:
        assert contrast(drawn.get_color(), "black") > 3
        # Open markers are as dark as the background.
        assert colors.to_hex(drawn.get_markerfacecolor()) in {colors.to_hex(drawn.get_color()), "#000000"}


ANY = object()
WRONG = {
    "correlator": lambda: plot.correlator(ANY),
    "effective_energies": lambda: plot.effective_energies(ANY),
    "commutator": lambda: plot.commutator(ANY),
    "levels": lambda: plot.levels(ANY),
    "spectral_measure": lambda: plot.spectral_measure(nnqm.thermal_measure(thermal().theory)),
    "spectrum": lambda: plot.spectral_measure(measure("oscillator"), spectrum=ANY),
    "reflection": lambda: plot.reflection(ANY),
    "modes": lambda: plot.modes(ANY),
    "ground_state": lambda: plot.ground_state(ANY),
    "density": lambda: plot.density(ANY),
    "paths": lambda: plot.paths(ANY),
    "training": lambda: plot.training({"a": ANY}),
    "scan": lambda: plot.scan(ANY),
    "propagator": lambda: plot.propagator(ANY),
    "dispersion": lambda: plot.dispersion(ANY),
    "overview": lambda: plot.overview(ANY),
    "report": lambda: plot.overview(oscillator(), ANY),
    "figure": lambda: plot.overview(oscillator(), report(), ANY),
    "ax": lambda: modes_found().plot(ANY),
    "exact": lambda: plot.correlator(oscillator(), exact=ANY),
    "hamiltonian": lambda: plot.density(oscillator(), exact=ANY),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_types_are_named_before_a_figure_is_made(name):
    import matplotlib.pyplot as plt

    with pytest.raises(InputTypeError, match=r"\w+ must be .*; got \w+"):
        WRONG[name]()
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: plot.correlator(oscillator(), channel="z"), "z"),
        (lambda: plot.modes(modes_found(), n_modes=0), "n_modes must be at least 1"),
        (lambda: plot.modes(modes_found(), quantity="value"), "quantity 'value' is unknown"),
        (lambda: plot.training(dynamics(), quantity="weights"), "did you mean 'weight'"),
        (lambda: plot.propagator(box_run(), lags=()), "lags must have 1 to 6 entries"),
        (lambda: plot.propagator(oscillator()), "field"),
        (lambda: plot.density(oscillator(), bins=1), "bins must be at least 2"),
        (lambda: plot.ground_state(WELLS, n_levels=0), "n_levels must be at least 1"),
    ],
)
def test_wrong_values_are_named(call, expected):
    with pytest.raises(InputError, match=expected):
        call()


@pytest.mark.parametrize("projection", ["polar", "3d"])
@pytest.mark.parametrize("draw", [plot.correlator, plot.effective_energies, plot.commutator, plot.density, plot.paths])
def test_axes_that_are_not_plane_are_refused(draw, projection):
    ax = Figure().add_subplot(projection=projection)
    with pytest.raises(InputError, match=f"ax must have x and y at right angles; got {projection} axes"):
        draw(oscillator(), ax)


def test_names_are_text_and_not_formulas():
    name = r"$\nosuch$"
    given = np.random.default_rng(1).normal(size=(512, 8))
    run = nnqm.accumulate(given, 0.2, names=[name], independent=True)
    drawn = [plot.overview(run, nnqm.analyse(run, n_levels=1, positivity=False), Figure())]
    theories = {name: nnqm.builtin_theory("deep-tanh"), "b": nnqm.builtin_theory("oscillator")}
    found = nnqm.scan(theories, n_levels=1, positivity=False)
    lines = xarray.concat([found, found], dim="kind").assign_coords(kind=[name, "c"], theory=["a", "b"])
    parts = (found, found.rename(theory=name), lines.transpose("theory", "kind", ...))
    drawn += [plot.scan(part, Figure().add_subplot()).figure for part in parts]
    drawn += [plot.training({name: dynamics()}, Figure().add_subplot(), quantity=q).figure for q in ("gap", "variance")]
    for figure in drawn:
        figure.draw_without_rendering()
        assert r"\$\nosuch" in " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.mark.parametrize(
    ("kind", "picture"),
    [
        (results.Correlators, "correlator"),
        (results.Spectrum, "levels"),
        (results.DecayLevels, "levels"),
        (results.Report, "levels"),
        (results.PositivityResult, "reflection"),
        (results.PositivityCertificate, "reflection"),
        (results.SpectralMeasure, "spectral_measure"),
        (results.ThermalMeasure, "correlator"),
        (results.KarhunenLoeve, "modes"),
        (results.TrainingDynamics, "training"),
        (nnqm.Hamiltonian, "ground_state"),
        (nnqm.Paths, "paths"),
        (fields.Dispersion, "dispersion"),
        (fields.DistanceCorrelator, "propagator"),
    ],
)
def test_results_draw_themselves(kind, picture, monkeypatch):
    called = []
    monkeypatch.setattr(plot, picture, lambda thing, ax, **options: called.append((thing, ax, options)) or ax)
    assert kind.plot(kind.__new__(kind), "axes", option=1) == "axes"
    ((thing, ax, options),) = called
    assert (type(thing), ax, options) == (kind, "axes", {"option": 1})


# ---- colours

# Deuteranopia and protanopia in linear RGB: Vienot, Brettel and Mollon, Color Res. Appl. 24, 243 (1999).
TO_CONES = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
BLIND = {
    "nobody": np.eye(3),
    "deuteranopia": np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]]),
    "protanopia": np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]]),
}
# Smallest distance of two colours in CIELAB; about 2 is the smallest that is visible side by side.
DISTANCE = 12.0


def linear(colour):
    rgb = np.array(colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """Ratio of luminances as the accessibility guidelines of the web define it."""
    bright, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def lab(colour, eyes):
    seen = np.clip(np.linalg.solve(TO_CONES, BLIND[eyes] @ TO_CONES @ linear(colour)), 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x = to_xyz @ seen / (to_xyz @ np.ones(3))
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, eyes):
    at = [lab(c, eyes) for c in colours]
    return min(np.linalg.norm(a - b) for i, a in enumerate(at) for b in at[:i])


@pytest.mark.parametrize("eyes", BLIND)
def test_colours_are_told_apart(eyes):
    assert nearest(COLOURS, eyes) > DISTANCE
    assert nearest((MEASURED, EXACT, FITTED), eyes) > 2 * DISTANCE


def test_confused_colours_are_found():
    # Negative control: the default colours of many programs, and red beside green.
    assert nearest(("#ff0000", "#008000"), "nobody") > 100
    assert nearest(("#d62728", "#2ca02c", "#8c564b", "#bcbd22"), "deuteranopia") < DISTANCE
    assert nearest(colormaps["tab10"].colors, "protanopia") < DISTANCE


@pytest.mark.parametrize("background", ["white", "#1e1e1e"])
def test_main_colours_stand_out_from_light_and_dark(background):
    for colour in (MEASURED, EXACT, FITTED):
        assert contrast(colour, background) > 3


def test_series_differ_without_colour():
    assert len(set(COLOURS)) == len(set(MARKERS)) == len(set(LINES)) == len(COLOURS) == 6


def test_labels_move_apart_and_not_further_than_they_must():
    assert apart([0.0, 1.0, 3.0], 0.5) == pytest.approx([0.0, 1.0, 3.0])
    assert apart([1.0, 1.0], 0.5) == pytest.approx([0.75, 1.25])
    assert apart([2.0, 0.0, 2.1, 2.05], 1.0) == pytest.approx([1.05, 0.0, 3.05, 2.05])
    assert len(apart([], 1.0)) == 0


# ---- figures and files


@pytest.mark.slow
def test_the_overview_has_four_pictures_on_the_figure_that_is_given():
    figure = Figure(layout="constrained")
    assert plot.overview(oscillator(), report(), figure) is figure
    first, second, third, fourth = figure.axes
    np.testing.assert_array_equal(points(first)[1], points(oscillator().plot(empty()))[1])
    np.testing.assert_array_equal(points(second)[1], points(report().plot(empty()))[1])
    np.testing.assert_array_equal(points(third)[1], nnqm.commutator_at_lags(oscillator()).value)
    assert len(fourth.lines) == 3
    assert report().title.split(":")[0] in figure.get_suptitle().replace("\n", " ")


def test_paths_from_elsewhere_are_drawn_without_what_is_unknown():
    axes = plot.overview(given(), nnqm.analyse(given(), positivity=False), Figure()).axes
    assert len(axes) == 4
    assert not axes[3].lines
    assert not [drawn for drawn in axes[0].lines if drawn.get_label() == "exact"]


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml")])
def test_saved_figures_replace_the_old_ones_whole(tmp_path, suffix, start):
    path = tmp_path / f"figure{suffix}"
    path.write_text("old")
    assert plot.save_overview(oscillator(), report(), path) == path
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_an_interrupted_save_leaves_the_old_figure(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise KeyboardInterrupt

    path = tmp_path / "figure.png"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(KeyboardInterrupt):
        plot.save_overview(oscillator(), report(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("figure.doc", "must end in one of"), ("figure", "must end in one of"), ("no/a.png", "no does")],
)
def test_what_cannot_be_written_is_said(tmp_path, name, expected):
    with pytest.raises(ValueError, match=expected):
        plot.save_overview(oscillator(), report(), tmp_path / name)


@pytest.mark.slow
def test_pyplot_is_left_alone_and_matplotlib_loaded_on_use():
    script = (
        "import sys, nnqm\n"
        "draw = nnqm.plot.save_overview\n"
        "assert 'matplotlib' not in sys.modules and 'plot' in dir(nnqm)\n"
        "run = nnqm.simulate(nnqm.builtin_theory('oscillator'), 2048, 16, 0.2, rng=1)\n"
        "from matplotlib.figure import Figure\n"
        "nnqm.plot.overview(run, nnqm.analyse(run, positivity=False), Figure())\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
        "sys.modules['matplotlib'] = None\n"
        "try:\n    run.plot()\n"
        "except ModuleNotFoundError as error:\n    print(error)\n"
    )
    assert answer(script) == "pictures need matplotlib, which is not installed; pip install 'nnqm[plot]' gets it"


def test_fonts_and_sizes_of_the_user_are_kept():
    with rc_context({"axes.labelsize": 21.0}):
        ax = oscillator().plot(empty())
    assert isinstance(ax, Axes)
    assert ax.xaxis.label.get_size() == 21.0
