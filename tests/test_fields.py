"""Fields as sources: laws of momenta, sampled against exact, the whole pipeline, reproducible bits, bad input."""

import copy
import itertools
import pickle

import numpy as np
import pytest
from scipy import integrate, stats

import nnqm
from harness import accept, assert_mean_zero, refute
from interpreter import answer
from nnqm import fields
from nnqm.errors import InputError, InputTypeError
from nnqm.fields.finite_width import n_point
from nnqm.fields.momenta import MomentumLaw
from nnqm.files.theory_file import load_theory_file
from test_simulation import PEAK

GAUSSIAN = fields.Regulator("gaussian", 8.0)
FIELDS = {
    "cos-net": lambda **s: fields.CosNet(2, 1.0, 6, alpha=0.5, regulator=GAUSSIAN, points=[0.0, 0.4, 1.1], **s),
    "spatial cos-net": lambda **s: fields.CosNet(
        3, 1.0, 4, regulator=fields.Regulator("hard", 9.0, spatial=True), points=[[0.0, 0.0], [0.3, -0.5]], **s
    ),
    "reflection-positive net": lambda **s: fields.ReflectionPositiveNet(3, 1.0, 5, 8.0, [[0.0, 0.0], [0.3, 0.5]], **s),
    "oscillator": lambda **s: fields.ReflectionPositiveNet(1, 1.5, 2, 8.0, **s),
    "box": lambda **s: fields.PeriodicBox(0.9, (2, 3), 0.7, **s),
}


def theory_of(name, network):
    field = FIELDS[name]()
    widths = (field.n_inputs, 5, 1)
    made = {
        "none": lambda: None,
        "fixed": lambda: nnqm.Network.random(widths, rng=1),
        "random": lambda: nnqm.RandomNetwork(widths, group=max(8, field.shared_by)),
    }
    return nnqm.Theory(field, made[network]())


# ---- laws of momenta

LAWS = {
    "d = 1, none": MomentumLaw(1, 1.0, 1.0, fields.Regulator()),
    "d = 2, steep": MomentumLaw(2, 0.5, 2.0, fields.Regulator()),
    "gaussian, alpha = 0": MomentumLaw(2, 1.0, 1.0, fields.Regulator("gaussian", 100.0)),
    "gaussian, alpha = -1": MomentumLaw(3, 1.0, 0.0, fields.Regulator("gaussian", 5.0)),
    "hard, 1/omega": MomentumLaw(1, 1.0, 0.5, fields.Regulator("hard", 50.0)),
    "hard, two axes": MomentumLaw(2, 2.0, 0.5, fields.Regulator("hard", 10.0)),
    "a shell": MomentumLaw(2, 0.0, 1.0, fields.Regulator("hard", 100.0, lower=1.0)),
}


def density(law, k):
    return k ** (law.n - 1) * law.regulator(np.asarray(k)) * (k * k + law.mass**2) ** -law.power


def probability(law, low, high):
    """Integral of the density, by quadrature in the logarithm between points that no scale lies inside of."""
    scales = [s for s in (law.mass, law.regulator.cutoff) if low < s < high]
    edges = np.log([low, *sorted({float(s) for s in scales}), high])
    return sum(
        integrate.quad(lambda x: density(law, np.exp(x)) * np.exp(x), a, b, epsabs=0, epsrel=1e-13, limit=200)[0]
        for start, stop in itertools.pairwise(edges)
        for a, b in itertools.pairwise(np.linspace(start, stop, 2 + int((stop - start) / 2)))
    )


def from_table(table, u, upper):
    """The quantile with probability u <= 1/2 below or above it, as the core reads it."""
    octave = min(int(np.floor(-np.log2(u))) - 1, table.shape[1] - 1)
    place = (u * 2.0 ** (octave + 2) - 1) * table.shape[2]
    cell = min(int(place), table.shape[2] - 1)
    return np.polynomial.polynomial.polyval(2 * (place - cell) - 1, table[int(upper), octave, cell])


@pytest.mark.slow
@pytest.mark.parametrize("name", LAWS)
def test_quantiles_invert_the_probability_on_both_sides(name):
    law, (low, high) = LAWS[name], (1e-13, 1e9)
    low = max(low, law.regulator.lower)
    high = {"hard": law.regulator.cutoff, "gaussian": 13 * law.regulator.cutoff}.get(law.regulator.kind, high)
    total = law.integral() * (2 * np.pi) ** law.n / {1: 2.0, 2: 2 * np.pi, 3: 4 * np.pi}[law.n]
    table = law.quantile_table()
    for u in (0.5, 0.43, 0.31, 0.2, 0.05, 3e-3, 1e-5):
        below, above = from_table(table, u, False), from_table(table, u, True)
        assert probability(law, max(below * 1e-14, low), below) == pytest.approx(u * total, rel=1e-10)
        missing = high ** (law.n - 2 * law.power) / (2 * law.power - law.n) if law.regulator.kind == "none" else 0.0
        assert probability(law, above, high) + missing == pytest.approx(u * total, rel=1e-10)


@pytest.mark.slow
def test_the_table_of_a_law_known_in_closed_form():
    # Density 1/omega in one dimension: k = m sinh(u arsinh(K/m)).
    law = LAWS["hard, 1/omega"]
    for u in (0.5, 0.37, 1e-3, 1e-9, 1e-15):
        below, above = np.sinh(u * np.arcsinh(50.0)), np.sinh((1 - u) * np.arcsinh(50.0))
        assert from_table(law.quantile_table(), u, False) == pytest.approx(below, rel=1e-12)
        assert from_table(law.quantile_table(), u, True) == pytest.approx(above, rel=1e-12)
    assert law.integral() == pytest.approx(np.arcsinh(50.0) / np.pi, rel=1e-14)


def test_published_normalisations():
    # Zhang, arXiv:2604.27050, two dimensions, mass 1, Gaussian cutoff 100.
    for alpha, omega in ((-1.0, 1591.549431), (0.0, 0.7422022238), (1.0, 0.07954036143)):
        field = fields.CosNet(2, 1.0, 5, alpha=alpha, regulator=fields.Regulator("gaussian", 100.0))
        assert field.omega == pytest.approx(omega, rel=1e-9)


# ---- sampled against exact

EVENTS = [((0, 0), (0, 1)), ((0, 0), (2, 1)), ((1, 2), (3, 2)), ((0, 2), (3, 0)), ((2, 0), (2, 0))]
QUADRUPLES = [((0, 0), (0, 1), (1, 2), (3, 0)), ((0, 1), (2, 1), (2, 1), (3, 2)), ((1, 0), (1, 0), (2, 0), (2, 0))]


def excess(field, seed, n_paths, group=1):
    """Products of the field at two and at four points, less their exact values; independent rows."""
    times = np.array([0.0, 0.3, 0.5, 1.1])
    paths = nnqm.sample_paths(nnqm.Theory(field), n_paths, times=times, rng=seed, precision="float64")
    columns = []
    for events in (EVENTS, QUADRUPLES):
        at = [[(times[t], *field.points[s]) for t, s in event] for event in events]
        exact = n_point(field, at).value
        sampled = np.stack([np.prod([paths[:, t, s] for t, s in event], axis=0) for event in events], axis=1)
        columns.append((sampled - exact).reshape(-1, group, len(events)).mean(axis=1))
    return np.concatenate(columns, axis=1)


def joint_p(rows):
    """p-value of a common mean of zero: Hotelling's test."""
    n, d = rows.shape
    mean, covariance = rows.mean(axis=0), np.cov(rows.T)
    statistic = n * mean @ np.linalg.solve(covariance, mean)
    return float(stats.f.sf(statistic * (n - d) / (d * (n - 1)), d, n - d))


SAMPLED = {
    f"cos-net, alpha = {alpha}": (
        lambda alpha=alpha: fields.CosNet(
            2, 1.0, 4, alpha=alpha, regulator=fields.Regulator("gaussian", 6.0), points=[0.0, 0.3, 0.8]
        )
    )
    for alpha in (-1.0, 0.0, 1.0)
} | {
    f"reflection-positive net, N = {width}, d = {d}": (
        lambda width=width, d=d: fields.ReflectionPositiveNet(
            d, 1.0, width, 6.0, [[0.0, 0.0][: d - 1], [0.3, 0.2][: d - 1], [-0.5, 0.4][: d - 1]]
        )
    )
    for width in (2, 5, 50)
    for d in (2, 3)
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLED)
def test_two_and_four_points_are_exact_at_finite_width(name):
    field = SAMPLED[name]()
    rows = excess(field, 11, 40_000, field.shared_by)
    assert_mean_zero(rows)
    accept(joint_p(rows), name)


def test_another_width_is_refuted():
    wrong = SAMPLED["cos-net, alpha = 0.0"]()
    field = fields.CosNet(2, 1.0, 2, regulator=wrong.regulator, points=wrong.points)
    rows = excess(field, 11, 40_000)
    at = [[((0.0, 0.3, 0.5, 1.1)[t], *field.points[s]) for t, s in event] for event in QUADRUPLES]
    rows[:, len(EVENTS) :] += n_point(field, at).value - n_point(wrong, at).value
    refute(joint_p(rows), "the four-point function of twice the width")


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_the_variance_and_the_covariance_are_the_sampled_ones(name):
    field = FIELDS[name]()
    np.testing.assert_allclose(field.variance, np.diag(field.lag_covariance([0.0])[0]), rtol=1e-9)
    times = np.array([0.0, 0.4])
    paths = nnqm.sample_paths(nnqm.Theory(field), 16_000, times=times, rng=5, precision="float64")
    products = np.einsum("ps,pr->psr", paths[:, 0], paths[:, 1]) - field.lag_covariance([0.4])[0]
    assert_mean_zero(products.reshape(-1, field.shared_by, field.n_inputs**2).mean(axis=1))


# ---- the whole pipeline


# Every field without a network, with a fixed and with a random one; of the cos-nets one with each.
PIPELINES = [
    pair
    for pair in itertools.product(FIELDS, ("none", "fixed", "random"))
    if pair not in {("spatial cos-net", "fixed"), ("cos-net", "random"), ("oscillator", "fixed")}
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "network"), PIPELINES)
def test_every_step_of_the_pipeline(name, network, tmp_path):
    theory = theory_of(name, network)
    settings = {"rng": 3, "n_blocks": 16, "measure": nnqm.Measure(lags=(0, 1, 3), observable_lags=(1,))}
    run = nnqm.simulate(theory, 2048, 8, 0.2, **settings)
    assert nnqm.load(nnqm.save(run, tmp_path / "run.nc")) == run
    assert nnqm.extend(nnqm.simulate(theory, 1024, 8, 0.2, **settings), 2048) == run
    parts = [nnqm.simulate(theory, 2048, 8, 0.2, blocks=range(k, k + 8), **settings) for k in (0, 8)]
    assert nnqm.merge(parts) == run
    paths = nnqm.sample_paths(theory, 2048, 8, 0.2, rng=3, channels=theory.channels)
    given = nnqm.accumulate(paths, 0.2, theory=theory, n_blocks=16)
    np.testing.assert_allclose(
        given.moments("x" if network != "none" else 0).value,
        run.moments("x" if network != "none" else 0).value,
        rtol=1e-5,
        atol=1e-6,
    )
    assert str(nnqm.analyse(run))
    assert run.theory == theory


@pytest.mark.slow
@pytest.mark.parametrize("name", FIELDS)
def test_check_judges_fields(name):
    assert "stationarity" in str(nnqm.check(theory_of(name, "none"), n_paths=2048, rng=1))


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_values(name, tmp_path):
    field = FIELDS[name]()
    for again in (pickle.loads(pickle.dumps(field)), copy.deepcopy(field), eval(repr(field), vars(fields))):
        assert again == field
        assert hash(again) == hash(field)
    theory = nnqm.Theory(field)
    assert nnqm.Theory.from_dict(theory.to_dict()) == theory
    assert field != FIELDS["box" if name != "box" else "cos-net"]()


TABLES = {
    "cos-net": """kind = "cos-net"
dimension = 2
mass = 1.0
width = 6
alpha = 0.5
regulator = { kind = "gaussian", cutoff = 8.0 }
points = [0.0, 0.4, 1.1]
""",
    "reflection-positive net": """kind = "reflection-positive-net"
dimension = 3
mass = 1.0
width = 5
cutoff = 8.0
points = [[0.0, 0.0], [0.3, 0.5]]
""",
    "box": """kind = "periodic-box"
mass = 0.9
sites = [2, 3]
spacing = 0.7
""",
}


def load_table(tmp_path, text):
    path = tmp_path / "theory.toml"
    path.write_text("[[source]]\n" + text)
    return load_theory_file(path).theory


@pytest.mark.parametrize("name", TABLES)
def test_theory_files_contain_fields(name, tmp_path):
    assert load_table(tmp_path, TABLES[name]).sources == (FIELDS[name](),)


@pytest.mark.slow
def test_fields_run_from_the_command_line(tmp_path, capsys):
    from nnqm import cli

    path = tmp_path / "theory.toml"
    path.write_text("[[source]]\n" + TABLES["box"] + '[network]\nwidths = [6, 4, 1]\ndensity = "normal"\nseed = 1\n')
    with pytest.raises(SystemExit) as stop:
        cli.main(["run", str(path), "--paths", "2048", "--times", "16", "-o", str(tmp_path / "a.nc")])
    assert stop.value.code == 0
    assert nnqm.load(tmp_path / "a.nc").theory.sources == (FIELDS["box"](),)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("cos-net", "width", "widht", r"source\[0\].widht is unknown; .* did you mean 'width'"),
        ("cos-net", "width = 6", "width = 1.5", r"source\[0\].width must be an integer"),
        ("cos-net", "width = 6\n", "", r"source\[0\].width is missing"),
        ("cos-net", "alpha = 0.5", 'alpha = "a"', r"source\[0\].alpha must be a number"),
        ("cos-net", "cutoff", "cutof", r"regulator has no key 'cutof'"),
        ("cos-net", "8.0", '"a"', r"regulator: cutoff must be real numbers"),
        ("cos-net", "gaussian", "gauss", r"regulator: kind 'gauss' is unknown.*did you mean 'gaussian'"),
        ("cos-net", "[0.0, 0.4, 1.1]", "[[0.0, 0.4]]", r"source\[0\]: points must have shape \(S, 1\)"),
        ("cos-net", "alpha", "spacing", r"source\[0\].spacing does not belong to a source of kind 'cos-net'"),
        ("box", "[2, 3]", "2.5", "sites must be an integer"),
        ("box", "[2, 3]", "[]", "sites must have at least one axis"),
        ("box", "0.9", "0.0", "mode k = 0"),
        ("reflection-positive net", "width = 5", "width = 5\ngroup = 3", "group must be a divisor of 64"),
    ],
)
def test_mistakes_in_theory_files_name_the_key(name, old, new, message, tmp_path):
    with pytest.raises((InputError, InputTypeError), match=message) as error:
        load_table(tmp_path, TABLES[name].replace(old, new))
    assert "\n" not in str(error.value)


# ---- reproducible bits


@pytest.mark.parametrize("name", FIELDS)
def test_bits_depend_on_neither_threads_nor_the_cut_of_paths(name):
    theory = theory_of(name, "fixed")
    times = np.concatenate([[0.0], np.cumsum(0.05 + 0.01 * (np.arange(301) % 7))])
    channels = theory.channels
    whole = nnqm.sample_paths(theory, 200, times=times, rng=9, n_threads=2, channels=channels)
    for part in (range(0, 1), range(37, 130), range(64, 128)):
        again = nnqm.sample_paths(theory, part, times=times, rng=9, n_threads=1, channels=channels)
        assert np.array_equal(again, whole[part.start : part.stop])
    assert np.array_equal(nnqm.sample_paths(theory, 200, times=times[:50], rng=9, channels=channels), whole[:, :50])
    full = nnqm.sample_paths(theory, 200, times=times, rng=9, precision="float64", channels=channels)
    np.testing.assert_allclose(whole, full, atol=1e-4)


def test_groups_share_momenta_of_equal_time():
    # In one wave of space without noise in between, the ratio of two points is fixed by momentum and phase.
    field = fields.ReflectionPositiveNet(2, 1.0, 1, 4.0, [0.0, 0.1, 0.2], group=4)
    y = nnqm.sample_paths(nnqm.Theory(field), 64, 2, 0.5, rng=1, precision="float64")
    # cos(k 0) + cos(k 0.2) = 2 cos(k 0.1) cos(k 0.1), the same for the sine.
    cosine = ((y[..., 0] + y[..., 2]) / (2 * y[..., 1])).reshape(16, 8)
    np.testing.assert_allclose(cosine, cosine[:, :1] + np.zeros(8), rtol=1e-8)
    assert len(np.unique(cosine[:, 0].round(10))) == 16


LEVEL = """
import os, sys, numpy as np, nnqm
from nnqm import fields
field = fields.ReflectionPositiveNet(2, 1.0, 5, 8.0, [0.0, 0.5])
cosines = fields.CosNet(2, 1.0, 5, regulator=fields.Regulator("hard", 8.0), points=[0.0])
for f in (field, cosines, fields.PeriodicBox(1.0, 5)):
    y = nnqm.sample_paths(nnqm.Theory(f), 128, 9, 0.3, rng=4, precision="float64")
    print(repr(float(np.abs(y).sum())))
"""


@pytest.mark.slow
def test_levels_of_the_processor_agree():
    levels = nnqm.build_info()["levels"]
    own = levels[: levels.index(nnqm.build_info()["level"]) + 1]
    sums = [np.array(answer(LEVEL, NNQM_LEVEL=level).split(), dtype=float) for level in {own[0], own[-1]}]
    for found in sums[1:]:
        np.testing.assert_allclose(found, sums[0], rtol=1e-12)


GROWTH = (
    PEAK
    + """
import nnqm
field = nnqm.fields.ReflectionPositiveNet(2, 1.0, 50, 20.0, [0.1 * i for i in range(8)])
few = nnqm.Measure(observables=nnqm.default_observables(nnqm.Theory(field), observe=["x1"]), lags=(0, 1))
nnqm.simulate(nnqm.Theory(field), int(sys.argv[1]), 4, 0.2, rng=1, n_threads=2, measure=few)
print(peak())
"""
)


@pytest.mark.slow
def test_memory_grows_neither_with_paths_nor_with_draws_of_momenta():
    few, many = (float(answer(GROWTH, n)) for n in (20_000, 200_000))
    assert many - few < 20
    assert few > 10, "megabytes were expected"


def test_runs_of_the_first_random_map_go_on():
    theory = nnqm.harmonic_oscillator()
    run = nnqm.simulate(theory, 1024, 8, 0.2, rng=1, n_blocks=16)
    old = copy.replace(run, random_map_version=1) if hasattr(copy, "replace") else replaced(run)
    whole = nnqm.simulate(theory, 2048, 8, 0.2, rng=1, n_blocks=16)
    longer = nnqm.extend(old, 2048)
    assert all(np.array_equal(longer.sums[name], whole.sums[name]) for name in whole.sums)
    both = nnqm.merge([old, nnqm.simulate(theory, 1024, 8, 0.2, rng=2, n_blocks=16)])
    assert both.n_paths == 2048


def replaced(run):
    from dataclasses import replace

    return replace(run, random_map_version=1)


# ---- bad input

HARD = fields.Regulator("hard", 5.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fields.CosNet(0, 1.0, 5, regulator=HARD), "dimension must be at least 1; got 0"),
        (lambda: fields.CosNet(1.5, 1.0, 5, regulator=HARD), "dimension must be an integer"),
        (lambda: fields.ReflectionPositiveNet(0, 1.0, 5, 5.0), "dimension must be at least 1; got 0"),
        (
            lambda: fields.CosNet(2, 1.0, 5),
            r"propagator at one point diverges at large momenta: .* like k\^-1 in 2",
        ),
        (lambda: fields.CosNet(3, 1.0, 5), r"falls like k\^0 in 3 dimensions .* use a regulator"),
        (lambda: fields.CosNet(1, 1.0, 5, alpha=-1.0), r"density of momenta diverges at large momenta: .* k\^0"),
        (lambda: fields.CosNet(2, 0.0, 5, regulator=HARD), r"diverges at small momenta: .* k\^-1 in 2 .* lower > 0"),
        (lambda: fields.CosNet(3, 0.0, 5, alpha=1.0, regulator=HARD), r"density of momenta diverges at small momenta"),
        (
            lambda: fields.CosNet(2, 1.0, 5, alpha=-1.0, regulator=fields.Regulator("hard", 5.0, spatial=True)),
            r"diverges at large frequencies: it falls like k\^0",
        ),
        (
            lambda: fields.CosNet(1, 1.0, 5, regulator=fields.Regulator("hard", 5.0, spatial=True)),
            "needs a dimension of at least 2",
        ),
        (lambda: fields.CosNet(2, 1.0, 0, regulator=HARD), "width must be at least 1; got 0"),
        (lambda: fields.CosNet(2, 1.0, 5, alpha=np.nan, regulator=HARD), "alpha must be finite"),
        (lambda: fields.CosNet(3, 1.0, 5, regulator=HARD, points=[0.0, 1.0]), r"points must have shape \(S, 2\)"),
        (lambda: fields.CosNet(2, 1.0, 5, regulator=HARD, points=[]), r"points must have shape \(S, 1\)"),
        (lambda: fields.CosNet(2, 1.0, 5, regulator=HARD, points=[np.inf]), "points must be finite"),
        (lambda: fields.CosNet(2, 1.0, 5, regulator="hard"), "regulator must be a Regulator or None"),
        (lambda: fields.CosNet(2, -1.0, 5, regulator=HARD), "mass must be positive"),
        (lambda: fields.Regulator("hrad", 5.0), "did you mean 'hard'"),
        (lambda: fields.Regulator("hard"), "must be a positive number; got None"),
        (lambda: fields.Regulator("none", 5.0), "must be none; got 5"),
        (lambda: fields.Regulator("hard", 5.0, lower=6.0), "lower must be 0, or below the cutoff"),
        (lambda: fields.Regulator("gaussian", 5.0, lower=1.0), "lower must be 0, or below the cutoff"),
        (lambda: fields.Regulator("hard", 5.0, spatial=1), "spatial must be True or False"),
        (lambda: fields.ReflectionPositiveNet(2, 0.0, 5, 5.0), "mass must be positive"),
        (lambda: fields.ReflectionPositiveNet(2, 1.0, 5, np.inf), "cutoff must be finite"),
        (lambda: fields.ReflectionPositiveNet(2, 1.0, 32768, 5.0), "width must be at most 32767"),
        (lambda: fields.ReflectionPositiveNet(2, 1.0, 5, 5.0, group=3), "group must be a divisor of 64"),
        (lambda: fields.PeriodicBox(0.0, 4), "mode k = 0"),
        (lambda: fields.PeriodicBox(1.0, ()), "at least one axis of space"),
        (lambda: fields.PeriodicBox(1.0, (4, 0)), r"sites\[1\] must be at least 1"),
        (lambda: fields.PeriodicBox(1.0, 4.0), "sites must be an integer"),
        (lambda: fields.PeriodicBox(1.0, "44"), "sites must be an integer"),
        (lambda: fields.PeriodicBox(1.0, (100, 100)), "at most 8192 in total; got 10000, whose matrix of modes"),
        (lambda: fields.PeriodicBox(1.0, 4, dispersion="latice"), "did you mean 'lattice'"),
        (lambda: nnqm.Theory(FIELDS["box"](), nnqm.Network.random((5, 1), rng=1)), "network takes 5 inputs.* give 6"),
        (
            lambda: nnqm.Theory(FIELDS["oscillator"](), nnqm.RandomNetwork((1, 2, 1), group=16)),
            r"must have the same group; got groups \[8, 16\]",
        ),
    ],
)
def test_bad_fields_are_refused(make, message):
    with pytest.raises((InputError, InputTypeError), match=message):
        make()


def sampled(source, network=None):
    return nnqm.simulate(nnqm.Theory(source, network), 640, 4, 0.2, rng=1)


@pytest.mark.slow
def test_moments_that_do_not_exist_are_named():
    heavy = fields.CosNet(1, 1.0, 5, alpha=1.0)
    with pytest.raises(InputError, match=r"needs E phi\^4, which diverges at large momenta: .* k\^0 in 1 dimension "):
        sampled(heavy)
    with pytest.raises(InputError, match=r"needs E phi\^4, which diverges at large momenta"):
        sampled(heavy, nnqm.Network.random((1, 3, 1), "relu", rng=1))
    assert sampled(heavy, nnqm.Network.random((1, 3, 1), "tanh", rng=1)).n_paths == 640
    spatial = fields.Regulator("gaussian", 5.0, spatial=True)
    with pytest.raises(InputError, match=r"diverges at large frequencies: .* k\^-0.8"):
        sampled(fields.CosNet(2, 1.0, 5, alpha=0.6, regulator=spatial))
    with pytest.raises(InputError, match=r"fall.* like k\^-1.02, so slowly that some exceed 10\^152; use a regulator"):
        sampled(fields.CosNet(1, 1.0, 5, alpha=-0.49))


def test_waves_that_memory_cannot_hold_are_refused(monkeypatch):
    monkeypatch.setattr("nnqm._memory.memory", lambda: (2.0**20, "the machine has"))
    monkeypatch.setattr("nnqm._memory._LITTLE", 0)
    # Sums, which are refused before, have enough.
    monkeypatch.setattr("nnqm.sampling.run_settings.need_memory", lambda *_: None)
    for field in (
        fields.CosNet(2, 1.0, 500, regulator=HARD, points=np.arange(30.0)),
        fields.ReflectionPositiveNet(2, 1.0, 500, 5.0, np.arange(30.0)),
    ):
        with pytest.raises(InputError, match=r"500 neurons at 30 points would take .* GiB, .* use fewer points"):
            sampled(field)


def test_the_group_must_divide_the_paths():
    with pytest.raises(InputError, match=r"multiple of the 8 paths .* got 641; use 648"):
        nnqm.simulate(nnqm.Theory(FIELDS["oscillator"]()), 641, 4, 0.2, rng=1)


def test_representations_of_many_points_are_short():
    field = fields.CosNet(2, 1.0, 5, regulator=fields.Regulator("gaussian", 9.0), points=np.linspace(0, 1, 50))
    assert "points=50 entries" in repr(field)
