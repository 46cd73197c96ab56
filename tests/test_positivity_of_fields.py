"""Reflection positivity of fields: nets with free propagators are told apart by functionals of points of space."""

import re

import numpy as np
import pytest

import nnqm
from harness import accept, assert_consistent, assert_rate_at_most, refute
from nnqm.fields import CosNet, PeriodicBox, ReflectionPositiveNet, Regulator
from nnqm.positivity.reflection import reflection_positivity

DT, N_TIMES, MASS, CUTOFF = 0.2, 32, 1.0, 50.0
POINTS = [0.0, 0.3, 1.0]
NODES = np.polynomial.legendre.leggauss(400)


def cos_net(width, points=POINTS):
    """Has exactly the propagator of ``rp_net``."""
    return CosNet(2, MASS, width, regulator=Regulator("hard", CUTOFF, spatial=True), points=points)


def rp_net(width, points=POINTS, group=8):
    return ReflectionPositiveNet(2, MASS, width, CUTOFF, points=points, group=group)


def paths_of(field, n_paths, rng=1, n_times=N_TIMES):
    return nnqm.Paths(nnqm.Theory(field), n_paths, n_times, DT, rng=rng)


# Exact functions of these fields, and fields drawn by NumPy, as independent checks.


def propagator(t, r):
    """The integral of e^{-omega t} cos(k r)/(2 omega) dk/2 pi over |k| < K, k = m sinh u."""
    u, weights = NODES
    reach = np.arcsinh(CUTOFF / MASS)
    decay = np.exp(-abs(t) * MASS * np.cosh(reach * u)) * np.cos(r * MASS * np.sinh(reach * u))
    return float(weights @ decay) * reach / (4 * np.pi)


def four_point(a, b, c, d, width):
    """E phi phi phi phi of the cos-net, alpha = 0 (Zhang, arXiv:2604.27050), at points (t, x)."""

    def at(*signed):
        return propagator(*np.sum(signed, axis=0))

    def minus(p):
        return (-p[0], -p[1])

    wick = at(a, minus(b)) * at(c, minus(d)) + at(a, minus(c)) * at(b, minus(d)) + at(a, minus(d)) * at(b, minus(c))
    pairs = at(a, b, minus(c), minus(d)) + at(a, c, minus(b), minus(d)) + at(a, d, minus(b), minus(c))
    return (1 - 1 / width) * wick + propagator(0.0, 0.0) / (2 * width) * pairs


def norm_of_exchange(early, late, distance, width):
    """<F(Theta X) F(X)> / <F^2> for F = phi(early, 0) phi(late, r) - phi(early, r) phi(late, 0)."""
    terms = [(1, (early, 0.0), (late, distance)), (-1, (early, distance), (late, 0.0))]

    def average(mirror):
        return sum(
            s * q * four_point((mirror * a[0], a[1]), (mirror * b[0], b[1]), c, d, width)
            for s, a, b in terms
            for q, c, d in terms
        )

    return average(-1) / average(1)


def drawn_waves(rng, n_paths, width, points, n_times=N_TIMES):
    """The cos-net by NumPy, (path, time, point); given omega, frequencies are omega times Cauchy's law."""
    k = MASS * np.sinh(np.arcsinh(CUTOFF / MASS) * rng.uniform(-1, 1, (n_paths, width)))
    frequency = np.hypot(k, MASS) * rng.standard_cauchy((n_paths, width))
    phase = rng.uniform(0, 2 * np.pi, (n_paths, width))
    x = np.empty((n_paths, n_times, len(points)))
    for c, point in enumerate(points):
        for t in range(n_times):
            x[:, t, c] = np.cos(frequency * t * DT + k * point + phase).sum(axis=1)
    return x * np.sqrt(2 * propagator(0.0, 0.0) / width)


def drawn_oscillators(rng, n_paths, width, points, n_times=N_TIMES):
    """The reflection-positive net by NumPy, with its own momenta for every path."""
    k = MASS * np.sinh(np.arcsinh(CUTOFF / MASS) * rng.uniform(-1, 1, (n_paths, width)))
    rho = np.exp(-np.hypot(k, MASS) * DT)
    y = rng.normal(size=(2, n_paths, width))
    x = np.empty((n_paths, n_times, len(points)))
    for t in range(n_times):
        if t:
            y = rho * y + np.sqrt(1 - rho**2) * rng.normal(size=y.shape)
        for c, point in enumerate(points):
            x[:, t, c] = (y[0] * np.cos(k * point) + y[1] * np.sin(k * point)).sum(axis=1)
    return x * np.sqrt(propagator(0.0, 0.0) / width)


def seen_by(witness, values, centre):
    """F(Theta X) F(X) and F^2 of each path from what is printed of F, reflected about index ``centre`` of the grid.

    ``values[key]`` are paths (path, time) of the point or the name that is printed.
    """
    formula, rest = str(witness).split(", z", 1)
    definitions, _ = ("z" + rest).rsplit(", reflected about", 1)
    scales = {
        key: (float((sign or "+") + (shift or "0")), float(scale))
        for key, sign, shift, scale in re.findall(
            r"z([^=]*?) = \(?x[^=]*?\)(?: ([-+]) ([\d.e-]+)\))?/([\d.e-]+)(?:,|$)", definitions.replace("t, ", "")
        )
    }

    def side(direction):
        def z(match):
            name, inside = match[1], match[2].split(", ")
            key = name or "(" + ", ".join(inside[1:]) + ")"
            shift, scale = scales[key + "(t)" if name else key]
            index = round(centre + direction * float(inside[0]) / DT, 6)
            seen[match[0]] = (values[key.strip("()[]")][:, int(index)] + shift) / scale
            return f"seen[{match[0]!r}]"

        seen = {}
        code = re.sub(r"z(\[\w+\])?\(([^()]*)\)", z, formula)
        code = re.sub(r"(?<=[\d\])]) (?=[st(])", " * ", code.replace("^", "**")).replace("tanh", "np.tanh")
        return eval(code, {"seen": seen, "np": np})

    return side(-1) * side(1), (side(1) ** 2 + side(-1) ** 2) / 2


# The verdicts.


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 5, 50])
def test_nets_with_the_same_propagator_are_told_apart(width):
    cosines, positive = cos_net(width), rp_net(width)
    t, x = np.array([0.0, 0.3, 2.0]), np.array([[0.0], [0.7], [0.2]])
    np.testing.assert_allclose(cosines.propagator(t, x), positive.propagator(t, x), rtol=1e-9)
    # The violation falls like 1/N. Wide nets are tested with the family that sees it best.
    n, functionals = (40_000, "exchange") if width == 50 else (4000, None)
    wrong = reflection_positivity(paths_of(cosines, n), functionals=functionals)
    assert wrong.verdict == "violated"
    assert wrong.channels == ("x1", "x2", "x3")
    refute(wrong.p_value, "a cos-net not seen")
    right = reflection_positivity(paths_of(positive, n), functionals=functionals)
    assert right.verdict == "consistent"
    accept(right.p_value, "a false alarm of a reflection-positive net")


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 50])
def test_the_form_about_zero_tells_them_apart_as_well(width):
    n = 8000
    settings = {"about": "middle", "functionals": "exchange" if width == 2 else None}
    assert reflection_positivity(paths_of(rp_net(width), n, n_times=17), **settings).verdict == "consistent"
    if width == 2:
        assert reflection_positivity(paths_of(cos_net(width), n, n_times=17), **settings).verdict == "violated"


@pytest.mark.slow
def test_three_dimensions():
    points = [[0.0, 0.0], [0.3, 0.2], [1.0, -0.5]]
    waves = CosNet(3, MASS, 2, regulator=Regulator("hard", 10.0, spatial=True), points=points)
    wrong = reflection_positivity(paths_of(waves, 3000), functionals="exchange")
    refute(wrong.p_value, "a cos-net not seen in three dimensions")
    assert re.match(r"\(z\([\d.]+(, -?[\d.]+){2}\) z\(", wrong.witness.terms[0])
    right = reflection_positivity(
        paths_of(ReflectionPositiveNet(3, MASS, 2, 10.0, points=points), 3000), functionals="exchange"
    )
    accept(right.p_value, "a false alarm in three dimensions")


@pytest.mark.slow
def test_the_choice_of_a_functional_needs_other_paths_than_the_search():
    # The norm is about -0.03. The lowest of 126 functionals fits the noise of the search by more than that.
    result = reflection_positivity(paths_of(cos_net(20), 8000, 2))
    refute(result.p_value, "a cos-net of 20 neurons not seen")


@pytest.mark.slow
def test_two_points_do_not_tell_them_apart():
    # Their propagator is positive: the violation is one of nonlinear functionals.
    result = reflection_positivity(paths_of(cos_net(2), 6000), functionals="linear")
    assert result.verdict == "consistent"
    accept(result.p_value, "a violation at two points")
    assert reflection_positivity(paths_of(cos_net(2), 6000), functionals="exchange").verdict == "violated"


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 3])
def test_a_regulator_of_all_components_is_seen_at_two_points(dimension):
    points = [[0.0] * (dimension - 1), [0.4] * (dimension - 1)]
    field = CosNet(dimension, MASS, 20, regulator=Regulator("gaussian", 10.0), points=points)
    result = reflection_positivity(nnqm.Paths(nnqm.Theory(field), 6000, 24, 0.05, rng=2), functionals="linear")
    assert result.verdict == "violated"
    refute(result.p_value, "a propagator that is not positive")


@pytest.mark.parametrize(("cutoff", "expected"), [(10.0, -0.0797), (100.0, -0.00798)])
def test_the_lack_of_the_gaussian_regulator_is_known(cutoff, expected):
    field = CosNet(1, MASS, 20, regulator=Regulator("gaussian", cutoff))
    origin, after, twice = field.propagator([0.0, 2.0, 4.0], np.zeros(0))
    assert origin * twice / after**2 - 1 == pytest.approx(expected, rel=2e-3)
    certificate = nnqm.positivity_certificate([origin, after, twice, *field.propagator([6.0], np.zeros(0))], dt=2.0)
    assert certificate.verdict == "violated"


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["core", "numpy"])
def test_the_norm_of_the_exchange_functional_is_exact(draw):
    def exchange(x):
        return x[:, 0, 0] * x[:, 1, 1] - x[:, 0, 1] * x[:, 1, 0]

    points, width = [0.0, 0.5], 5
    settings = {"functionals": exchange, "offsets": (2, 8), "about": 12}
    if draw == "core":
        result = reflection_positivity(paths_of(cos_net(width, points), 20_000, n_times=25), **settings)
    else:
        x = drawn_waves(np.random.default_rng(3), 20_000, width, points, 25)
        result = reflection_positivity(x, dt=DT, channel=(0, 1), **settings)
    exact = norm_of_exchange(2 * DT, 8 * DT, 0.5, width)
    assert exact == pytest.approx(-0.57 / width, rel=0.3)
    # The second moment was taken on other paths, with an error of about 2%.
    assert_consistent(result.value, exact, expected_error=0.02 * abs(exact))
    assert result.verdict == "violated"
    assert result.witness.terms == ("exchange(x(0.4, 0), x(0.4, 0.5), x(1.6, 0), x(1.6, 0.5))",) or draw == "numpy"


def test_the_exchange_functional_has_no_norm_in_a_free_field():
    # The Gaussian field is the limit of many neurons: norms are not negative, and small.
    for early, late, distance in ((0.2, 0.8, 0.3), (0.4, 1.6, 0.05), (0.2, 1.6, 1.0)):
        limit = norm_of_exchange(early, late, distance, 1e12)
        assert -1e-9 < limit < 0.02
        assert norm_of_exchange(early, late, distance, 50) < limit - 0.008


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_the_p_value_says():
    p = []
    for seed in range(6):
        x = drawn_oscillators(np.random.default_rng([seed, 1]), 1000, 2, [0.0, 0.3], 16)
        p.append(reflection_positivity(x, dt=DT, channel=(0, 1)).p_value)
        for group in (1, 16):
            drawn = paths_of(rp_net(2, [0.0, 0.3], group), 250 * group if group > 1 else 1000, seed, 16)
            p.append(reflection_positivity(drawn, functionals="exchange").p_value)
    assert_rate_at_most(np.count_nonzero(np.array(p) < 0.05), len(p), 0.05)
    accept(min(p), "a false alarm")


@pytest.mark.slow
def test_paths_that_share_momenta_are_one_unit():
    result = reflection_positivity(paths_of(rp_net(5, group=32), 8000), functionals="linear")
    assert result.block_length % 32 == 0
    with pytest.raises(ValueError, match=r"got 6368 \(in groups of 32 that share random parameters\)"):
        reflection_positivity(paths_of(rp_net(5, group=32), 6368))
    # Inputs of a network share them as well.
    theory = nnqm.Theory(rp_net(5, group=32), nnqm.Network.random((3, 4, 1), "tanh", rng=1))
    below = reflection_positivity(nnqm.Paths(theory, 8000, 16, DT, rng=1), channel="y2", functionals="linear")
    assert below.block_length % 32 == 0


@pytest.mark.slow
def test_deep_networks_on_a_box_are_positive():
    box = PeriodicBox(MASS, 4)
    network = nnqm.Network.random((4, 8, 8, 4), "tanh", rng=2, weight_std=1.5, bias_std=0.5)
    result = reflection_positivity(nnqm.Paths(nnqm.Theory(box, network), 6000, 24, DT, rng=1))
    assert result.verdict == "consistent"
    accept(result.p_value, "a false alarm of a deep field in a box")
    assert result.channels == ("x1", "x2", "x3", "x4")
    random = nnqm.RandomNetwork((4, 8, 2), "tanh", weight_std=1.5, group=8)
    assert reflection_positivity(nnqm.Paths(nnqm.Theory(box, random), 6000, 16, DT, rng=1)).verdict == "consistent"


@pytest.mark.slow
def test_a_sign_that_is_wrong_at_one_point_is_found_there():
    # Positive about the middle; then the past of one of the points has the opposite sign.
    x = nnqm.sample_paths(nnqm.Theory(rp_net(5)), 4000, 17, DT, rng=1).astype(float)
    settings = {"dt": DT, "channel": (0, 1, 2), "about": "middle"}
    assert reflection_positivity(x, **settings).verdict == "consistent"
    x[:, :8, 1] *= -1
    result = reflection_positivity(x, functionals="linear", **settings)
    assert result.verdict == "violated"
    assert all("z[1](" in term for term in result.witness.terms[:1])


@pytest.mark.slow
@pytest.mark.parametrize("functionals", ["cubic", "neurons", "exchange", "linear"])
def test_the_witness_printed_is_the_functional_tested(functionals):
    if functionals == "linear":
        field = CosNet(2, MASS, 5, regulator=Regulator("gaussian", 5.0), points=POINTS)
    else:
        field = cos_net(2)
    result = reflection_positivity(paths_of(field, 6000, 5), functionals=functionals)
    fresh = nnqm.sample_paths(nnqm.Theory(field), 6000, N_TIMES, DT, rng=6).astype(float)
    values = {f"{point:.6g}": fresh[:, :, i] for i, point in enumerate(POINTS)}
    centres = [c + result.shift / 2 for c in range(9, 22, 2)]
    products, norms = zip(*(seen_by(result.witness, values, c) for c in centres), strict=True)
    value = np.mean(products) / np.mean(norms)
    error = np.std(np.mean(products, axis=0)) / np.sqrt(len(fresh)) / np.mean(norms)
    assert value < 0
    assert_consistent(result.value, value, expected_error=np.hypot(error, 0.03 * value))


@pytest.mark.slow
def test_given_paths_name_their_channels():
    x = drawn_waves(np.random.default_rng(1), 2000, 2, [0.0, 0.5], 16)
    result = reflection_positivity(x, dt=DT, channel=[1, 0], functionals="exchange")
    assert result.channels == ("1", "0")
    assert re.fullmatch(
        r"\(z\[1\]\([\d.]+\) z\[0\]\([\d.]+\) - z\[0\]\([\d.]+\) z\[1\]\([\d.]+\)\)", result.witness.terms[0]
    )
    assert "of 2 channels" in str(result)
    # All offsets that are given, if they are few.
    few = reflection_positivity(x, dt=DT, channel=[1, 0], functionals="exchange", offsets=[1, 4])
    assert len(few.witness.terms) == 1
    # Every channel has a centre and a scale of its own.
    shifted = reflection_positivity(
        x * [1, 1000] + [0, 1e5], dt=DT, channel=[1, 0], functionals="cubic", offsets=[1, 4, 6]
    )
    plain = reflection_positivity(x, dt=DT, channel=[1, 0], functionals="cubic", offsets=[1, 4, 6])
    np.testing.assert_allclose(shifted.value.value, plain.value.value, rtol=1e-6)
    assert shifted.witness.terms == plain.witness.terms
    swapped = reflection_positivity(x[:, :, ::-1], dt=DT, channel=[0, 1], functionals="exchange")
    assert swapped.p_value == result.p_value
    drawn = paths_of(cos_net(2), 400)
    some = drawn.read(0, 300, ["x3", 0])
    assert some.shape == (300, N_TIMES, 2)
    np.testing.assert_array_equal(some[:, :, 0], drawn.read(0, 300, 2))
    array = drawn.read_channels()
    ours = reflection_positivity(drawn, channel=("x1", "x3"), functionals="cubic")
    given = reflection_positivity(array, dt=DT, channel=(0, 2), functionals="cubic")
    assert ours.p_value == given.p_value


@pytest.mark.slow
def test_one_long_trajectory_of_several_channels_is_cut():
    box = nnqm.Theory(PeriodicBox(MASS, 2))
    long = nnqm.sample_paths(box, 1, 60_000, DT, rng=1)
    result = reflection_positivity(long, dt=DT, channel=(0, 1), functionals="linear")
    assert result.verdict == "consistent"
    assert result.n_units >= 200


def test_large_boxes_are_tested_at_some_of_their_sites():
    drawn = nnqm.Paths(nnqm.Theory(PeriodicBox(MASS, (8, 8))), 400, 8, DT, rng=1)
    result = reflection_positivity(drawn, functionals="exchange")
    assert len(result.channels) == 16
    assert result.channels[0] == "x1"
    assert result.channels[-1] == "x64"
    assert all(re.match(r"\(z\([\d.]+, \d, \d\) z", term) for term in result.witness.terms)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channel": (0, 0)}, "channel must name each channel once"),
        ({"channel": ()}, "channel must name each channel once, and at least one"),
        ({"channel": (0, 3)}, "channel must be at most 2; got 3"),
        ({"channel": range(17)}, "channel must name at most 16 channels; got 17"),
        ({"channel": (0,), "functionals": "exchange"}, "'exchange' need two channels and two offsets"),
        ({"functionals": "exchange"}, "'exchange' need two channels and two offsets"),
        ({"channel": (0, 1), "functionals": "exchange", "offsets": [1]}, "need two channels and two offsets"),
        ({"channel": (0, 2)}, "channel 2 is constant"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    x = np.random.default_rng(1).normal(size=(300, 8, 3))
    x[:, :, 2] = 1.0
    with pytest.raises(ValueError, match=message):
        reflection_positivity(x, **arguments)


def test_bad_values_are_named():
    x = np.random.default_rng(1).normal(size=(300, 8, 3))
    x[7, 3, 2] = np.nan
    with pytest.raises(ValueError, match="path 7 at time step 3, channel 2 is nan"):
        reflection_positivity(x, channel=(0, 2))
    assert reflection_positivity(x, channel=(0, 1), functionals="linear").n_units == 300
    with pytest.raises(TypeError, match="channel of given paths must be its position; got 'x'"):
        reflection_positivity(x, channel=(0, "x"))


# nnqm.check


def test_nets_that_are_positive_by_construction_say_why():
    found = nnqm.check(nnqm.Theory(rp_net(5)))["reflection positivity"]
    assert found.verdict == "holds"
    assert "reversible Markov processes, for every draw of the momenta" in found.reason
    network = nnqm.Network.random((4, 8, 4), "tanh", rng=2)
    box = nnqm.check(nnqm.Theory(PeriodicBox(MASS, 4), network), n_paths=2000)
    assert box["reflection positivity"].verdict == "holds"
    free = nnqm.check(nnqm.Theory(PeriodicBox(MASS, 4)))
    assert free["Markov property"].verdict == "holds"
    assert "at all points of space together" in free["Markov property"].reason


@pytest.mark.slow
def test_cos_nets_are_checked():
    sampled = nnqm.check(nnqm.Theory(cos_net(2)), n_paths=6000, rng=1)["reflection positivity"]
    assert sampled.verdict == "violated"
    assert re.search(r"for F = .*z\([\d.]+, [\d.]+\)", sampled.reason)
    smooth = CosNet(2, MASS, 50, regulator=Regulator("gaussian", 10.0), points=POINTS)
    exact = nnqm.check(nnqm.Theory(smooth), n_paths=2000, rng=1)["reflection positivity"]
    assert exact.verdict == "fails"
    assert "smooth and reflection positive do not move" in exact.reason
