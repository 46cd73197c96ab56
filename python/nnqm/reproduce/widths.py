"""Claims: fields of finitely many neurons. Published four-point functions, width scans and vertex operators."""

from __future__ import annotations

import numpy as np

from ..fields.cos_net import CosNet
from ..fields.distinct_estimators import distinct_neurons
from ..fields.finite_width import n_point
from ..fields.generating_functionals import generating_functional
from ..fields.neurons import NeuronField, drawn_neurons
from ..fields.regulator import Regulator
from ..sampling.paths import sample_paths
from ..statistics.estimate import Estimate, jackknife
from ..theories.theory import Theory
from .record import Curve, Number, Panel, Record, by_test, compared, computed, jointly, measured
from .registry import Effort, claim

__all__: list[str] = []

# Data of arXiv:2604.27050 (repository nnft-alpha, MIT licence, copyright 2026 Zhengkang Zhang): the first of its 50
# configurations of four points at each scale; mean and error from 1e8 networks by scale and alpha, at three widths.
_POINTS = {
    0.3: [[-0.18750931, -0.0697219], [0.24415402, 0.036772039], [0.17444962, 0.10940249], [-0.12065542, 0.10273874]],
    1.0: [[-0.62503099, -0.23240632], [0.81384671, 0.12257346], [0.58149874, 0.36467493], [-0.40218472, 0.34246245]],
    3.0: [[-1.875093, -0.69721895], [2.4415402, 0.36772037], [1.7444962, 1.0940248], [-1.2065542, 1.0273874]],
}
_WIDTHS = (30, 50, 100)
_PUBLISHED = {
    (0.3, -1): [(5.73591, 0.01427), (3.50648, 0.006943), (1.84325, 0.002807)],
    (0.3, 0): [(0.18327, 0.0001068), (0.182487, 0.0001073), (0.181839, 0.0001076)],
    (0.3, 1): [(0.203718, 0.01548), (0.163057, 0.00729), (0.176428, 0.002666)],
    (1.0, -1): [(3.5806, 0.01192), (2.15239, 0.005636), (1.08957, 0.002188)],
    (1.0, 0): [(0.030609, 6.225e-05), (0.0297995, 6.222e-05), (0.0292699, 6.228e-05)],
    (1.0, 1): [(0.0262809, 0.01567), (0.0393375, 0.007408), (0.0288416, 0.002683)],
    (3.0, -1): [(1.17998, 0.008256), (0.705498, 0.003919), (0.350413, 0.001508)],
    (3.0, 0): [(0.00186065, 5.548e-05), (0.00164758, 5.554e-05), (0.00157662, 5.554e-05)],
    (3.0, 1): [(0.00868662, 0.01562), (0.00147685, 0.007355), (-0.00166539, 0.002673)],
}


def _zhang(width: int, alpha: float, points: object = None) -> CosNet:
    return CosNet(2, 1.0, width, alpha, Regulator("gaussian", 100.0), points=points)  # type: ignore[arg-type]


@claim(
    "four-point-functions",
    "2604.27050",
    "numerical four-point functions and their published data",
    "Four-point functions of cos-nets of finite width, for three architectures of one infinite-width limit, are "
    "as published.",
)
def four_point_functions(effort: Effort) -> Record:
    few, networks = 10, effort.size(200_000, 20_000)
    numbers: list[Number] = []
    pulls = []
    panels = []
    for i, (scale, points) in enumerate(_POINTS.items()):
        curves = []
        free = float(n_point(_zhang(30, 0.0), points).wick)
        for j, alpha in enumerate((-1, 0, 1)):
            exact = [float(n_point(_zhang(width, alpha), points).value) for width in _WIDTHS]
            neurons = _neurons(alpha, points, networks, few, effort, 10 * i + j)
            ours = distinct_neurons(neurons, range(4), width=list(_WIDTHS))
            for k, width in enumerate(_WIDTHS):
                published = _PUBLISHED[scale, alpha][k]
                pulls.append((published[0] - exact[k]) / published[1])
                name = f"scale {scale:g}, alpha = {alpha}, N = {width}: G_4"
                remark = f"published less exact: {pulls[-1]:+.1f} published errors"
                if alpha == 0:
                    numbers.append(compared(name, ours[k], exact[k], published=published, remark=remark))
                else:
                    # Rare neurons of large amplitude decide: Student's t-distribution is no guide for these.
                    numbers.append(
                        measured(
                            name,
                            ours[k],
                            exact=exact[k],
                            published=published,
                            remark=f"{remark}; heavy tails, not tested",
                        )
                    )
            inverse = [1 / width for width in _WIDTHS]
            means = np.array(_PUBLISHED[scale, alpha])
            curves.append(
                Curve(
                    f"alpha = {alpha}",
                    tuple(inverse),
                    tuple((means[:, 0] / free).tolist()),
                    tuple((means[:, 1] / free).tolist()),
                    "points",
                )
            )
            widths = np.array([25, 30, 40, 60, 100, 200, 1000])
            line = [float(n_point(_zhang(int(width), alpha), points).value) / free for width in widths]
            curves.append(Curve.of("", [0, *(1 / widths[::-1])], [1, *line[::-1]]))
        panels.append(Panel(f"scale {scale:g}", "1/N", "G_4 / G_4(N = inf)", tuple(curves), "s"))
    from scipy.special import chdtrc

    numbers.append(
        by_test(
            f"{len(pulls)} published numbers less exact ones, chi-squared",
            float(chdtrc(len(pulls), np.sum(np.square(pulls)))),
            value=float(np.sqrt(np.mean(np.square(pulls)))),
            remark="measured column: rms of the deviations in units of the published errors",
        )
    )
    return Record(
        f"d = 2, m = 1, Gaussian regulator 100, three configurations; published: 1e8 networks of N neurons; ours: "
        f"{networks:,} networks of {few} neurons for all widths",
        tuple(numbers),
        "ours: statistical, jackknife over networks; sums over distinct neurons have no bias in N. Published: as "
        "published",
        tuple(panels),
        "Points: published, lines: exact, for alpha = -1, 0 and 1.",
        ("Published numbers: data of arXiv:2604.27050, MIT licence, copyright 2026 Zhengkang Zhang.",),
    )


@claim(
    "optimal-alpha",
    "2604.27050",
    "abstract: alpha = 0 minimises the variance at finite width; the signal-to-noise ratio",
    "Neurons of constant amplitude (alpha = 0) minimise the variance at finite width, and its relative size grows "
    "exponentially with distance even there.",
)
def optimal_alpha(effort: Effort) -> Record:
    alphas = np.round(np.linspace(-1, 1, 21), 10)
    numbers: list[Number] = []
    curves = []
    for r in (0.5, 1.0, 3.0):
        variances = np.array([_variance(alpha, r) for alpha in alphas])
        best = alphas[np.argmin(variances)]
        numbers.append(
            computed(
                f"alpha of the smallest variance of phi(0) phi({r:g}), N = 30",
                best,
                0.0,
                0.05,
                remark="scan in steps of 0.1",
            )
        )
        curves.append(Curve.of(f"r = {r:g}", alphas, variances / variances.min()))
    near, far = 5.0, 6.0
    field = _zhang(30, 0.0)
    ratios = [_variance(0.0, r) / float(field.propagator(0.0, [r])) ** 2 for r in (near, far)]
    signal = [float(field.propagator(0.0, [r])) for r in (near, far)]
    rate = np.log(ratios[1] / ratios[0])
    numbers.append(
        computed(
            "growth of variance/signal^2 from r = 5 to 6, exponent",
            rate,
            2 * np.log(signal[0] / signal[1]),
            1e-3,
            remark="2 m r and the power of r in the propagator: the variance itself no longer falls",
        )
    )
    distances = np.linspace(0.25, 6, 24)
    growth = [_variance(0.0, r) ** 0.5 / float(field.propagator(0.0, [r])) for r in distances]
    return Record(
        "d = 2, m = 1, Gaussian regulator 100, N = 30; four-point functions at coinciding points, exact",
        tuple(numbers),
        "numerical; the minimum is right to half a step of the scan",
        (
            Panel("Variance by architecture", "alpha", "variance / smallest", tuple(curves), "y"),
            Panel(
                "Noise of one network at alpha = 0",
                "distance r, unit 1/m",
                "standard deviation / signal",
                (Curve.of("exact", distances, growth),),
                "y",
            ),
        ),
        "Left: the variance is smallest at alpha = 0. Right: noise over signal grows as exp(m r).",
    )


@claim(
    "width-scan",
    "2008.08601",
    "numerical n-point functions of erf, relu and Gauss networks by width",
    "The two-point function of a one-layer network does not depend on its width; its four-point function "
    "deviates from the "
    "Gaussian one by a term proportional to 1/N.",
)
def width_scan(effort: Effort) -> Record:
    near, positive_points = [-0.01, -0.006, -0.002, 0.002], [0.2, 0.4, 0.6, 0.8]
    widths = [2, 5, 10, 50, 100, 1000]
    numbers: list[Number] = []
    curves = []
    for i, (name, points, bias) in enumerate(
        (("erf", near, 1.0), ("relu", positive_points, 0.0), ("gauss", near, 1.0))
    ):
        field = NeuronField(name, bias_std=bias)
        exact = [field.n_point(points, width) for width in widths]
        free = float(exact[0].wick)
        deviation = np.array([float(found.correction) for found in exact]) / free
        numbers.append(
            computed(
                f"{name}: deviation of G_4 at N = 2 over N = 1000",
                deviation[0] / deviation[-1],
                500.0,
                500 * sum(float(np.max(found.error)) / abs(float(found.correction)) for found in exact) + 1e-7,
            )
        )
        neurons = drawn_neurons(field, points, effort.size(100_000, 20_000), width=10, rng=effort.rng(i))
        two = _means(neurons.sum(axis=1)[:, :1] * neurons.sum(axis=1)[:, 1:2] / 10)[0] + bias**2
        known = float(field.n_point(points[:2], 10).value)
        numbers.append(compared(f"{name}: G_2 of networks of 10 neurons", two, known))
        curves.append(Curve.of(name, widths, deviation, "points"))
        if name == "gauss":
            # Its four-point function at finite width comes from neurons that are too rare to be sampled.
            continue
        found = distinct_neurons(neurons, range(4), width=[5, 10**12], bias_std=bias)
        ours = found.map(lambda g, free=free: (g[:1] - g[1:]) / free)[0]
        numbers.append(compared(f"{name}: (G_4 - G_4(inf))/G_4(inf) at N = 5, from 10 neurons", ours, deviation[1]))
    curves.append(Curve.of("1/N", widths, [2 * deviation[0] / w for w in widths], "dashed"))
    return Record(
        f"one hidden layer, one input; {effort.size(100_000, 20_000):,} networks of 10 neurons",
        tuple(numbers),
        "exact rows: numerical; measured rows: statistical, jackknife over networks",
        (Panel("Four-point function by width", "width N", "deviation / infinite width", tuple(curves), "xy"),),
        "Deviations of the four-point function from infinite width, exact, and a 1/N law.",
        ("The paper shows figures; no numbers to compare with are at hand.",),
    )


@claim(
    "vertex-operators",
    "2512.24420",
    "correlators of vertex operators of the free boson with p(k) proportional to 1/k^2",
    "Correlators of exp(i a phi) and its conjugate fall as r^(-a^2) between the cutoffs, at large width.",
)
def vertex_operators(effort: Effort) -> Record:
    distances = np.array([0.0316, 0.1, 0.316, 1.0])
    networks = {10: effort.size(200_000, 20_000), 100: effort.size(40_000, 4_000), 4000: effort.size(2_000, 300)}
    numbers: list[Number] = []
    panels = []
    from scipy.integrate import quad
    from scipy.special import j0

    scan = np.geomspace(0.01, 1.5, 40)
    for k, a in enumerate((0.5, 1.414)):
        curves = []
        for width, count in networks.items():
            exact = _vertex(width, a, distances)
            found = _sampled_vertex(width, a, distances, count, effort, k)
            numbers.append(jointly(f"a = {a:g}, N = {width}: at {len(distances)} distances", found, exact))
            numbers.append(compared(f"a = {a:g}, N = {width}: r = 0.1", found[1], exact[1]))
            curves.append(Curve.of(f"N = {width}", distances, found))
            curves.append(Curve.of("", scan, _vertex(width, a, scan)))
        field = _boson(1)
        gaussian = -((a * _CHARGE) ** 2) * (
            field.propagator(0.0, [0.0]) - field.propagator(0.0, np.array([[0.05], [0.5]]))
        )
        slope = float(gaussian[1] - gaussian[0]) / np.log(10)
        independent = (
            -(a**2) * quad(lambda u: j0(np.exp(u)) - j0(100 * np.exp(u)), np.log(0.05), np.log(0.5))[0] / np.log(10)
        )
        numbers.append(
            computed(
                f"a = {a:g}, N = inf: mean exponent from r = 0.05 to 0.5",
                slope,
                independent,
                1e-7,
                remark=f"between the cutoffs -a^2 = {-(a**2):.4g}; the sharp cutoffs at 1 and 100 add the rest",
            )
        )
        curves.append(
            Curve.of("power r^(-a^2)", scan, _vertex(4000, a, np.array([0.1])) * (scan / 0.1) ** -(a**2), "dotted")
        )
        panels.append(Panel(f"a = {a:g}", "r", "<exp(i a phi(0)) exp(-i a phi(r))>", tuple(curves), "xy"))
    return Record(
        "d = 2, massless, momenta from 1 to 100 with density proportional to 1/k^2; "
        + ", ".join(f"{count:,} networks of N = {width}" for width, count in networks.items()),
        tuple(numbers),
        "statistical, jackknife over 100 blocks of networks; exact rows: numerical",
        tuple(panels),
        "Points: sampled, lines: exact at finite N, dotted: the power law.",
        ("The paper shows figures. Its central charge and its fermions are not computed here.",),
    )


# A cos-net of nnqm has amplitudes (2 Omega/N)^(1/2) with Omega = ln(100)/(2 pi); the paper's are (2 ln(100)/N)^(1/2).
_CHARGE = float(np.sqrt(2 * np.pi))


def _boson(width: int, points: object = None) -> CosNet:
    regulator = Regulator("hard", 100.0, lower=1.0)
    return CosNet(2, 0.0, width, regulator=regulator, points=points)  # type: ignore[arg-type]


def _vertex(width: int, a: float, distances: np.ndarray) -> np.ndarray:
    points = np.zeros((len(distances), 2, 2))
    points[:, 1, 1] = distances
    return np.asarray(generating_functional(_boson(width), points, [a * _CHARGE, -a * _CHARGE]).value)


def _sampled_vertex(
    width: int, a: float, distances: np.ndarray, networks: int, effort: Effort, number: int
) -> Estimate:
    theory = Theory(_boson(width, points=[0.0, *distances]))
    phi = sample_paths(theory, networks, times=[0.0], rng=effort.rng(10 * width + number), n_threads=effort.n_threads)[
        :, 0
    ]
    return _means(np.cos(a * _CHARGE * (phi[:, :1].astype(float) - phi[:, 1:])))


def _neurons(alpha: float, points: object, networks: int, few: int, effort: Effort, number: int) -> np.ndarray:
    """Neurons of a cos-net at four points, shape (networks, few, 4): networks of one neuron are its draws."""
    times, space = np.array(points).T
    order = np.argsort(times)
    theory = Theory(_zhang(1, alpha, space[order]))
    phi = sample_paths(theory, networks * few, times=times[order], rng=effort.rng(number), n_threads=effort.n_threads)
    return phi[:, range(4), range(4)].reshape(networks, few, 4).astype(float)


def _variance(alpha: float, r: float) -> float:
    """Variance of phi(0) phi(r) of one network of 30 neurons, exact."""
    field = _zhang(30, alpha)
    here, there = [0.0, 0.0], [0.0, r]
    return float(n_point(field, [here, there, here, there]).value) - float(field.propagator(0.0, [r])) ** 2


def _means(x: np.ndarray) -> Estimate:
    """Means of independent rows, an estimate of the shape of a row."""
    parts = np.array_split(np.asarray(x, dtype=float), 100)
    sizes = np.array([len(part) for part in parts], dtype=float)
    sums = {"x": np.array([part.sum(axis=0) for part in parts]), "n": sizes}
    found: Estimate = jackknife(lambda s: s["x"] / s["n"][:, None], sums, sizes)
    return found
