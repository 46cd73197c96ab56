"""Texts and HTML of all public classes: short, of one piece, escaped, and without arrays."""

import enum
import functools
import importlib
import inspect
from html.parser import HTMLParser

import numpy as np
import pytest

import nnqm
from nnqm import fields, learning, results

LONGEST, LONGEST_HTML = 400, 20_000
# Lines and characters in a line of a table that stands for its object.
MOST_LINES, WIDEST = 40, 200


@functools.cache
def oscillator():
    return nnqm.harmonic_oscillator()


@functools.cache
def deep():
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 300, 300, 1), rng=1))


@functools.cache
def paths():
    return nnqm.Paths(oscillator(), 2000, 32, 0.2, rng=1)


@functools.cache
def run():
    return nnqm.simulate(oscillator(), 4096, 32, 0.2, rng=1)


@functools.cache
def box_run():
    measure = nnqm.Measure(lags=range(4), observable_lags=(1, 2))
    return nnqm.simulate(nnqm.Theory(fields.PeriodicBox(mass=1.0, sites=4)), 2000, 16, 0.2, rng=1, measure=measure)


@functools.cache
def trained(widths=(1, 16, 1)):
    network = nnqm.RandomNetwork(widths, "erf", weight_std=1.5, bias_std=0.5)
    return network.with_training(nnqm.GradientDescent([[-1.0], [1.0]], [[0.5], [0.8]], 0.2, 50))


@functools.cache
def expansion():
    return nnqm.karhunen_loeve(nnqm.Kernel.ornstein_uhlenbeck(1.0), (0.0, 2.0), 40)


@functools.cache
def well():
    return nnqm.Hamiltonian([0, 0, 0.5, 0, 1])


@functools.cache
def sine():
    return nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network([[[1.0]], [[1.0]]], activation="sin"))


@functools.cache
def fit():
    return nnqm.fit(sine(), nnqm.Target(learning.TwoPoint([0.0, 1.0, 2.0]), [0.3, 0.1, 0.05]), steps=3)


@functools.cache
def dynamics():
    networks = [sine().network.with_parameters([w, 0.0, 1.0, 0.0]) for w in (1.0, 2.0)]
    along = nnqm.Trajectory.of_checkpoints(sine(), networks, [0, 100])
    return nnqm.training_dynamics(along, n_levels=3, positivity=False)


@functools.cache
def report():
    return nnqm.analyse(run(), positivity=False)


@functools.cache
def spectrum():
    return nnqm.spectrum(run(), 2)


@functools.cache
def certificate():
    return nnqm.positivity_certificate(lambda t: (-0.5) ** t)


@functools.cache
def reflection():
    return nnqm.reflection_positivity(paths())


@functools.cache
def checked():
    return nnqm.check(nnqm.Kernel.matern(1.5))


def mean_of_draws():
    draws = [nnqm.Network([[[1.0]], [[v]]], [[0.5], [0.0]], "sin") for v in (1.0, -1.0, 2.0, -2.0)]
    return nnqm.average_over_weights(oscillator(), draws, [0.0, 1.0])


def files():
    np.save("conf.npy", np.random.default_rng(1).normal(size=(50, 32)))
    return nnqm.PathFiles("conf.npy")


def accumulator():
    made = nnqm.Accumulator(0.1, names=["x"])
    made.add(np.random.default_rng(1).normal(size=(50, 32)))
    return made


def spectral_flow():
    theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.RandomNetwork((1, 64, 1), "erf", weight_std=1.5))
    return learning.SpectralFlow(theory, [0.0, 0.6, 0.0, 0.6], levels=3)


def quasi_monte_carlo():
    theory = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0)] * 2, nnqm.Network.random((2, 3, 1), rng=1))
    return nnqm.quasi_monte_carlo(theory, [0.0, 1.0], n_points=2**10)


class OwnProcess(nnqm.Source):
    """A process of a user, with nothing beyond the three members that it needs."""

    variance = property(lambda self: np.ones(2))
    natural_step = property(lambda self: 0.1)

    def compiled(self, times):
        return nnqm.OrnsteinUhlenbeck([1.0, 1.0]).compiled(times)


# An object of each public class.
MAKERS = {
    nnqm.Accumulator: accumulator,
    nnqm.CosineNetwork: lambda: nnqm.CosineNetwork(nnqm.Density("cauchy"), width=100),
    nnqm.Density: lambda: nnqm.Density("student-t", nu=6),
    nnqm.Estimate: lambda: run().two_point(),
    nnqm.GradientDescent: lambda: nnqm.GradientDescent(np.linspace(-1, 1, 300)[:, None], np.ones((300, 1)), 0.2, 50),
    nnqm.GroundStateNetwork: lambda: nnqm.GroundStateNetwork(
        nnqm.Network([[[2.0]], [[2.0]]], activation="softplus"), even=True
    ),
    nnqm.GroundStateProcess: lambda: nnqm.GroundStateProcess(well()),
    nnqm.Hamiltonian: well,
    nnqm.Interrupted: lambda: nnqm.Interrupted(run(), "4096 paths"),
    nnqm.KarhunenLoeveProcess: lambda: nnqm.KarhunenLoeveProcess(expansion(), "laplace"),
    nnqm.Kernel: lambda: nnqm.Kernel.matern(1.5),
    nnqm.MarkovChain: lambda: nnqm.MarkovChain(np.arange(50.0), np.full((50, 50), 0.02), dt=1.0),
    nnqm.Measure: lambda: nnqm.Measure(lags=range(1000)),
    nnqm.Network: lambda: deep().network,
    nnqm.Observables: lambda: nnqm.default_observables(oscillator()),
    nnqm.OneCorrelator: lambda: nnqm.OneCorrelator(run()),
    nnqm.OrnsteinUhlenbeck: lambda: nnqm.OrnsteinUhlenbeck(1.0),
    nnqm.PathFiles: files,
    nnqm.Paths: paths,
    nnqm.RandomNetwork: trained,
    nnqm.Source: OwnProcess,
    nnqm.SplittingProcess: lambda: nnqm.split_network(nnqm.Kernel.ornstein_uhlenbeck(1.0), 2.0, 20).sources[0],
    nnqm.Target: lambda: nnqm.Target.two_point(run()),
    nnqm.Theory: deep,
    nnqm.ThermalOrnsteinUhlenbeck: lambda: nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=3.0),
    nnqm.ThermalProcess: lambda: nnqm.ThermalProcess(well(), beta=3.0),
    nnqm.TimeNetwork: lambda: nnqm.TimeNetwork("erf"),
    nnqm.Times: lambda: nnqm.Times(reflected=True),
    nnqm.Trajectory: lambda: fit().trajectory,
    nnqm.Verdict: lambda: nnqm.Verdict.OK,
    fields.CosNet: lambda: fields.CosNet(
        2, mass=1.0, width=50, regulator=fields.Regulator("gaussian", 100.0), points=np.linspace(0, 1, 50)
    ),
    fields.Dispersion: lambda: fields.dispersion(
        nnqm.simulate(nnqm.Theory(fields.PeriodicBox(mass=1.0, sites=4)), 1000, 16, 0.2, rng=1), momenta=[0.0]
    ),
    fields.DistanceCorrelator: lambda: fields.correlator_by_distance(box_run()),
    fields.ExactValue: lambda: fields.propagator(2, 1.0, np.linspace(0.5, 3.0, 100), [0.0]),
    fields.Field: lambda: fields.PeriodicBox(mass=1.0, sites=4),
    fields.MomentumCorrelator: lambda: fields.correlator_by_momentum(box_run()),
    fields.NPointFunction: lambda: fields.moments_of_sum({(0,): 0.0, (1,): 0.0, (0, 1): 1.0}, 2, width=10),
    fields.NeuronField: lambda: fields.NeuronField("erf", bias_std=1.0),
    fields.ParticleLevels: lambda: fields.particle_levels(fields.PeriodicBox(mass=1.0, sites=4), 0.0, below=3.5),
    fields.PeriodicBox: lambda: fields.PeriodicBox(mass=1.0, sites=(64, 64)),
    fields.PointwiseField: lambda: fields.PointwiseField(
        fields.PeriodicBox(mass=1.0, sites=8), nnqm.Network([[[1.0]], [[1.0]]])
    ),
    fields.ReflectionPositiveNet: lambda: fields.ReflectionPositiveNet(
        2, mass=1.0, width=50, cutoff=50.0, points=np.linspace(0, 1, 50)
    ),
    fields.Regulator: lambda: fields.Regulator("gaussian", 100.0),
    learning.Commutator: learning.Commutator,
    learning.DarbouxPotential: lambda: learning.DarbouxPotential([2.0, 3.0, 5.0]),
    learning.Gaps: lambda: learning.Gaps(3),
    learning.InfiniteWidth: lambda: learning.InfiniteWidth(trained()),
    learning.LinearModel: lambda: learning.LinearModel(trained((1, 1))),
    learning.Moments: lambda: learning.Moments(4),
    learning.MomentumSquared: learning.MomentumSquared,
    learning.NPoint: lambda: learning.NPoint(np.ones((100, 4))),
    learning.SpectralFlow: spectral_flow,
    learning.SpectralWeights: lambda: learning.SpectralWeights(4),
    learning.TwoPoint: lambda: learning.TwoPoint(np.linspace(0, 10, 500)),
    results.Advice: lambda: results.Advice(2, nnqm.Verdict.NOISE, "use more paths", 10_000),
    results.ChapmanKolmogorov: lambda: nnqm.chapman_kolmogorov(paths()),
    results.Clustering: lambda: nnqm.clustering(paths()),
    results.Correlators: run,
    results.DecayError: lambda: results.DecayError("no decay", np.arange(500.0), run().two_point()),
    results.DecayLevels: lambda: nnqm.OneCorrelator(run()).rayleigh_ritz(),
    results.EffectiveLevels: lambda: nnqm.binned_effective_levels(paths(), bins=4, n_levels=1),
    results.ExactEffectiveLevels: lambda: nnqm.exact_effective_levels(
        oscillator(), np.linspace(-2, 2, 7), 0.2, n_levels=2
    ),
    results.Extrapolation: lambda: nnqm.commutator(run()),
    results.Fit: fit,
    results.FitError: lambda: results.FitError("the rate is too large", fit()),
    results.FitInterrupted: lambda: results.FitInterrupted(fit()),
    results.GroundStateChain: lambda: well().transition_matrix(0.1),
    results.KarhunenLoeve: expansion,
    results.Level: lambda: spectrum().levels[0],
    results.Origin: lambda: results.Origin.EXACT,
    results.Physics: lambda: dynamics().physics[0],
    results.PositivityCertificate: certificate,
    results.PositivityResult: reflection,
    results.Properties: checked,
    results.Property: lambda: checked().rows[0],
    results.Quantity: lambda: dynamics().physics[0].numbers["gap"][0],
    results.QuasiMonteCarlo: quasi_monte_carlo,
    results.Report: report,
    results.Row: lambda: report().rows[0],
    results.Series: lambda: dynamics()["weight"],
    results.SpectralMeasure: lambda: nnqm.kallen_lehmann(sine()),
    results.Spectrum: spectrum,
    results.SpectrumError: lambda: results.SpectrumError("no levels", spectrum()),
    results.State: lambda: well().eigenstate(0),
    results.TargetQuality: lambda: fit().targets[0],
    results.TheoryFile: lambda: nnqm.load_theory_file("deep-tanh"),
    results.ThermalMeasure: lambda: nnqm.thermal_measure(nnqm.Theory(nnqm.ThermalProcess(well(), beta=3.0))),
    results.TrainingDynamics: dynamics,
    results.TwoPointFunction: lambda: nnqm.kallen_lehmann(oscillator()),
    results.WeightAverage: mean_of_draws,
    results.Witness: lambda: certificate().witness,
}


def public_classes():
    """All classes that users reach; records of keyword arguments are dicts."""
    modules = [importlib.import_module(name) for name in ("nnqm", "nnqm.fields", "nnqm.learning", "nnqm.results")]
    found = [getattr(module, name) for module in modules for name in module.__all__]
    return {c for c in found if inspect.isclass(c) and not issubclass(c, dict)}


def test_there_is_an_object_of_every_public_class():
    assert public_classes() == set(MAKERS), "give each new class a line in MAKERS"


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("objects"))
        yield {c: make() for c, make in MAKERS.items()}


def by_class(classes):
    return pytest.mark.parametrize("cls", sorted(classes, key=lambda c: c.__name__), ids=lambda c: c.__name__)


@pytest.mark.slow
@by_class(MAKERS)
def test_the_text_of_an_object_is_short(cls, objects):
    made = objects[cls]
    assert isinstance(made, cls)
    text = repr(made)
    assert "object at 0x" not in text, "there is no representation"
    assert "dtype=float" not in text
    if "\n" in text:
        # A table that is its object, with a text of its own.
        assert type(made).__str__ is not object.__str__
        assert len(text.splitlines()) <= MOST_LINES
        assert max(map(len, text.splitlines())) <= WIDEST
    else:
        assert len(text) <= LONGEST
        names = {c.__name__ for c in type(made).__mro__} | {made} if isinstance(made, str) else {type(made).__name__}
        assert isinstance(made, enum.Enum) or any(str(name) in text for name in names)


class Tags(HTMLParser):
    """Whether tags are closed in their order, and what they hold."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.styles, self.texts = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.seen.append(tag)
        self.styles += [value for name, value in attributes if name == "style"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def parsed(html):
    found = Tags()
    found.feed(html)
    found.close()
    assert not found.open
    return found


# Classes of item 5 whose objects are looked at in notebooks, and all that inherit from them.
SHOWN = [
    nnqm.Theory, nnqm.Source, nnqm.Network, nnqm.RandomNetwork, nnqm.Estimate, nnqm.Hamiltonian, nnqm.Kernel,
    nnqm.Trajectory, fields.Dispersion, fields.ParticleLevels, results.Correlators, results.Report, results.Row,
    results.Spectrum, results.Level, results.DecayLevels, results.PositivityResult, results.PositivityCertificate,
    results.Properties, results.Property, results.SpectralMeasure, results.ThermalMeasure, results.KarhunenLoeve,
    results.Fit, results.TargetQuality, results.TrainingDynamics, results.Physics, results.Extrapolation,
]  # fmt: skip


def test_objects_that_one_looks_at_have_html():
    with_html = {c for c in MAKERS if hasattr(c, "_repr_html_")}
    assert set(SHOWN) <= with_html
    assert {c for c in MAKERS if issubclass(c, nnqm.Source)} <= with_html


@by_class(c for c in MAKERS if hasattr(c, "_repr_html_"))
def test_html_of_an_object_is_small_and_of_no_colour_scheme(cls, objects):
    html = objects[cls]._repr_html_()
    assert len(html) < LONGEST_HTML
    found = parsed(html)
    assert set(found.seen) <= {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td", "span"}
    # Text keeps the colour of the notebook; only marks of verdicts, which are one character, have their own.
    assert not [style for style in found.styles if "background" in style or "font-size" in style]
    coloured = [style for style in found.styles if "color" in style]
    assert len(coloured) == sum(text in "\u2713\u2717\u25cb" for text in found.texts)
    assert type(objects[cls]).__name__ in "".join(found.texts)


def test_names_from_outside_are_escaped():
    run = nnqm.accumulate(np.random.default_rng(1).normal(size=(256, 16)), 0.1, names=["<script>x</script>"])
    for html in (run._repr_html_(), nnqm.analyse(run, positivity=False)._repr_html_()):
        assert "<script" not in html
        assert "&lt;script&gt;" in html
        parsed(html)


def test_a_verdict_has_a_mark():
    texts = parsed(checked()._repr_html_()).texts
    assert texts.count("\u2713") == 3
    assert texts.count("\u2717") == 2
    assert {verdict.tone for verdict in nnqm.Verdict} == {"good", "open", "bad"}
    assert parsed(report()._repr_html_()).texts.count("\u2713") > 10
    row = results.Row("gap 1", None, 1.0, nnqm.Verdict.RESOLVED, report().rows[0].group, caveat=nnqm.Verdict.DEVIATES)
    assert row.tone == "bad"


def test_the_state_of_a_run_is_shown():
    half = nnqm.simulate(oscillator(), 4096, 8, 0.2, rng=1, n_blocks=8, blocks=range(2, 4))
    assert "blocks 2 to 3 of 8" in half._repr_html_()
    assert "complete" in run()._repr_html_()
    with pytest.raises(nnqm.Interrupted) as stop:
        nnqm.simulate(oscillator(), 64_000, 512, 0.2, rng=1, n_threads=1, progress=interrupt)
    assert "unfinished: " in stop.value.partial._repr_html_()


def interrupt(done, wanted):
    raise KeyboardInterrupt


def test_many_rows_and_entries_are_counted():
    many = nnqm.Trajectory(range(100), [oscillator()] * 100)
    assert "and 89 more rows" in many._repr_html_()
    assert "and 5 more entries" in run().two_point()._repr_html_()
    box = nnqm.Theory([nnqm.OrnsteinUhlenbeck(1.0)] * 500)
    assert repr(box) == "Theory([500 OrnsteinUhlenbeck])"
    assert len(box._repr_html_()) < LONGEST_HTML


def test_networks_are_told_apart_by_their_hash():
    first, second = (nnqm.Network.random((1, 8, 1), rng=seed)._repr_html_() for seed in (1, 2))
    assert first != second
    assert first == nnqm.Network.random((1, 8, 1), rng=1)._repr_html_()
    assert "25" in parsed(first).texts  # 8 weights and 8 biases, 8 weights and a bias
