"""Ready properties of theories: functions that raise an AssertionError with value, error, p-value and witness."""

from __future__ import annotations

import copy
import pickle
import tempfile
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats, floats
from ..errors import InputError, InputTypeError
from ..estimators.markov import chapman_kolmogorov
from ..positivity.reflection import NothingFluctuates, reflection_positivity
from ..properties import check
from ..quantum.measures import TwoPointFunction
from ..runs.run_file import load, save
from ..runs.simulation import extend, simulate
from ..sampling.correlators import Correlators, merge
from ..sampling.path_source import Paths
from ..sampling.paths import sample_paths
from ..theories.source import Source
from ..theories.theory import Theory
from ..time_networks.decompose import exact_kernel
from ..time_networks.kernels import CosineNetwork, Kernel, TimeNetwork
from ..verdict import Verdict
from .sampled import Difference, PathsOfATest, PropertySettings, level, written

__all__ = [
    "assert_bits_do_not_depend_on_threads",
    "assert_extend_equals_one_run",
    "assert_markov",
    "assert_positive",
    "assert_reversible",
    "assert_sampled_agrees_with_exact",
    "assert_saved_and_loaded_is_the_same",
    "assert_stationary",
    "assert_theory",
]

# Largest number of outputs, and of inputs, that a statistical property looks at.
_CHANNELS = 4
# Largest number of outputs for reflection positivity.
_POSITIVE_CHANNELS = 16
# Default numbers of paths: of cheap averages, of exact values, and of tests that search for a violation.
_AVERAGED, _COMPARED, _SEARCHED = 8192, 16384, 4096
# Number of groups of paths that share random parameters for a test of positivity.
_GROUPS = 1024
# Number of times for the comparison of bits; numbers of threads that are compared with one.
_FEW_TIMES, _THREADS = 16, (2, 3, 5)
# Rounding of a deviation from the mean, relative to the values.
_DIGITS = 8 * np.finfo(np.float64).eps
# Number of lags, or of times, at which a two-point function is compared.
_LAGS, _PAIRS = 8, 6


def _judge(p: float, significance: float, claim: str, found: str, paths: PathsOfATest) -> float:
    if p < significance:
        raise AssertionError(f"{claim}: {found}; jointly p = {p:.2g} < {significance:.2g}; {paths}")
    return p


def _smallest(
    paths: PathsOfATest,
    significance: float,
    claim: str,
    difference: Callable[[Floats], Difference],
) -> float:
    """p-value of a difference for each of the first outputs, times their number."""
    names = paths.theory.outputs[:_CHANNELS]
    u, texts = paths.bounded(names)
    smallest = 1.0
    for c, text in enumerate(texts):
        # The next output joins, so that pairs of them are seen.
        found = difference(u[:, :, [c, (c + 1) % len(names)] if len(names) > 1 else [c]])
        p = min(1.0, found.p_value() * len(texts))
        _judge(p, significance, claim, f"{found.worst()} ({text})", paths)
        smallest = min(smallest, p)
    return smallest


def assert_stationary(theory: Theory, *, significance: float = 1e-6, **settings: Unpack[PropertySettings]) -> float:
    r"""Assert that the law of a path is the same at all times.

    Bounded functions at the first times are compared with the same functions in the middle and at the end of the grid:
    u(t), u(t)^2, u(t) u(t + dt) and u(t) u(t + 4 dt), with u = tanh((x - a)/b), a the median and b the spread of x. For
    several outputs also the product of two at one time. The averages of all differences over paths must be zero by
    Hotelling's test with their full covariance. Each of the first four outputs is tested.

    Parameters
    ----------
    theory : Theory
        The attribute ``Theory.stationary`` is not used.
    significance : float, default 1e-6
        Probability of a false alarm, at most, for independent paths with normal averages over blocks of 64 paths.
    **settings : PropertySettings
        n_paths (8192 by default), n_times, dt and rng.

    Returns
    -------
    float
        p-value, corrected for the number of outputs.

    Raises
    ------
    AssertionError
        If p < significance; the message has the function, its value and error, the key and the theory.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_stationary(nnqm.harmonic_oscillator()) > 1e-6
    True
    """
    asked, paths = level(significance), PathsOfATest.of(theory, "stationary", settings, _AVERAGED)
    n, far = len(paths.times), min(4, len(paths.times) // 2)
    later = (n // 2, n - 1 - far)

    def difference(u: Floats) -> Difference:
        def functions(i: int) -> list[Floats]:
            first = u[:, i, 0]
            found = [first, first**2, first * u[:, i + 1, 0], first * u[:, i + far, 0]]
            return found + ([first * u[:, i, 1]] if u.shape[2] > 1 else [])

        names = ["<u>", "<u^2>", "<u(t) u(t + dt)>", f"<u(t) u(t + {far} dt)>", "<u u'>"]
        start = functions(0)
        columns = [now - then for i in later for now, then in zip(functions(i), start, strict=True)]
        words = [f"{name} at t = {paths.times[i]:.4g} less its value at the start" for i in later for name in names]
        if u.shape[2] == 1:
            words = [w for w in words if "u u'" not in w]
        return Difference.of(columns, words, theory.group)

    return _smallest(paths, asked, "the theory is not stationary", difference)


def assert_reversible(theory: Theory, *, significance: float = 1e-6, **settings: Unpack[PropertySettings]) -> float:
    r"""Assert that a path and its reflection about the middle of the grid have one law.

    Averages over the path of antisymmetric functions, :math:`f(t) g(t + l) - g(t) f(t + l)` for (f, g) = (u, u^2),
    (u, u^3), (u^2, u^3) at lags l of 1, 3 and 9 steps, must be zero by Hotelling's test with their full covariance;
    u is bounded, as for ``assert_stationary``. For several outputs f and g are also two of them. Each of the first four
    outputs is tested. Irreversible motion that no pair of times shows is not seen.

    Parameters
    ----------
    theory : Theory
        A theory of any kind; one that is not stationary is reflected about the middle of its grid.
    significance : float, default 1e-6
        Probability of a false alarm, as for ``assert_stationary``.
    **settings : PropertySettings
        n_paths (8192 by default), n_times, dt and rng.

    Returns
    -------
    float
        p-value, corrected for the number of outputs.

    Raises
    ------
    AssertionError
        If p < significance; the message has the function, its value and error, the key and the theory.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_reversible(nnqm.harmonic_oscillator()) > 1e-6
    True
    """
    asked, paths = level(significance), PathsOfATest.of(theory, "reversible", settings, _AVERAGED)
    lags = [lag for lag in (1, 3, 9) if lag < len(paths.times)]

    def difference(u: Floats) -> Difference:
        first, square = u[:, :, 0], u[:, :, 0] * u[:, :, 0]
        powers = {"u": first, "u^2": square, "u^3": square * first}
        pairs = [("u", "u^2"), ("u", "u^3"), ("u^2", "u^3")]
        if u.shape[2] > 1:
            powers["u'"] = u[:, :, 1]
            pairs.append(("u", "u'"))
        columns, words = [], []
        for lag in lags:
            for f, g in pairs:
                a, b = powers[f], powers[g]
                columns.append((a[:, :-lag] * b[:, lag:] - b[:, :-lag] * a[:, lag:]).mean(axis=1))
                words.append(f"<{f}(t) {g}(t + l) - {g}(t) {f}(t + l)> at l = {lag * paths.dt:.4g}")
        return Difference.of(columns, words, theory.group)

    return _smallest(paths, asked, "the theory is not reversible", difference)


def assert_positive(
    theory: Theory | Kernel | CosineNetwork | TimeNetwork | Callable[[Floats, Floats], Any],
    *,
    interval: tuple[float, float] | None = None,
    significance: float = 1e-6,
    **settings: Unpack[PropertySettings],
) -> float:
    r"""Assert reflection positivity, :math:`\langle F(\Theta X) F(X)\rangle \ge 0`.

    A theory is tested on paths by ``reflection_positivity``, whatever it says of itself, for up to 16 outputs together:
    linear, cubic and bounded functionals, and the worst of them on an independent half of the paths. A functional with
    heavy tails decides nothing. A kernel is checked exactly on a grid by ``check``: no noise, no false alarm.

    Parameters
    ----------
    theory : Theory, Kernel, CosineNetwork, TimeNetwork or callable
        A theory, or the covariance K(s, t) of a Gaussian process.
    interval : (float, float), optional
        Range of times of a kernel, as for ``check``.
    significance : float, default 1e-6
        Probability of a false alarm, at most.
    **settings : PropertySettings
        n_paths (4096 by default, or 1024 groups that share random parameters), n_times (at least 8), dt and rng, for a
        theory.

    Returns
    -------
    float
        p-value of the worst functional; 1 for a kernel.

    Raises
    ------
    AssertionError
        If a functional has a negative norm; the message has the functional, its value and error, and the p-value.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_positive(nnqm.Kernel.matern(0.5))
    1.0
    >>> assert_positive(nnqm.Kernel.matern(1.5))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: the kernel matern is not reflection positive: stationary paths that are smooth ... do not move
    """
    asked = level(significance)
    if not isinstance(theory, Theory):
        row = check(theory, interval)["reflection positivity"]
        if row.verdict in (Verdict.FAILS, Verdict.VIOLATED):
            name = f"the kernel {theory.name}" if isinstance(theory, Kernel) else "the kernel"
            raise AssertionError(f"{name} is not reflection positive: {row.reason}")
        return 1.0
    if interval is not None:
        raise InputError(f"interval belongs to kernels; got interval={interval} with a theory; give n_times and dt")
    # Paths that share random parameters are correlated, and the test needs independent blocks of them.
    shared = _GROUPS * theory.group if theory.group > 1 else 0
    paths = PathsOfATest.of(theory, "positive", settings, max(_SEARCHED, shared))
    outputs = [int(i) for i in np.unique(np.linspace(0, theory.n_outputs - 1, _POSITIVE_CHANNELS).round())]
    drawn = Paths(theory, paths.n_paths, times=paths.times, key=paths.key)
    values = drawn.read(channel=outputs)
    moving = [c for i, c in enumerate(outputs) if np.ptp(values[:, :, i]) > 0]
    if not moving:
        return 1.0
    try:
        found = reflection_positivity(drawn, channel=moving if len(moving) > 1 else moving[0], level=asked)
    except NothingFluctuates:
        # All norms are squares of averages.
        return 1.0
    if found.verdict is Verdict.VIOLATED:
        raise AssertionError(f"the theory is not reflection positive: {found}; level {asked:.2g}; {paths}")
    return found.p_value


def assert_markov(theory: Theory, *, significance: float = 1e-6, **settings: Unpack[PropertySettings]) -> float:
    """Assert that past and future of the first output are independent given the present.

    The test on paths is the one of ``chapman_kolmogorov``, on stationary, open paths.

    Parameters
    ----------
    theory : Theory
        Stationary, with open paths.
    significance : float, default 1e-6
        Probability of a false alarm, at most.
    **settings : PropertySettings
        n_paths (4096 by default), n_times, dt and rng.

    Returns
    -------
    float
        p-value.

    Raises
    ------
    AssertionError
        If p < significance; the message has the probabilities that differ, the key and the theory.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_markov(nnqm.harmonic_oscillator(), n_paths=2000) > 1e-6
    True
    """
    asked, paths = level(significance), PathsOfATest.of(theory, "markov", settings, _SEARCHED)
    drawn = Paths(theory, paths.n_paths, times=paths.times, key=paths.key)
    found = chapman_kolmogorov(drawn, level=asked, n_paths=paths.n_paths)
    return _judge(found.p_value, asked, "the theory is not Markov", str(found), paths)


# ---- sampled against exact


def assert_sampled_agrees_with_exact(
    theory: Theory,
    exact: TwoPointFunction | Source | Callable[..., Any] | None = None,
    *,
    significance: float = 1e-6,
    **settings: Unpack[PropertySettings],
) -> float:
    r"""Assert that the first output and the inputs, sampled, agree with their exact values.

    A stationary output is compared at eight lags, with its mean and its central moments 3 and 4 where the exact side
    has them; another output at six times and the pairs of neighbours among them. The stationary inputs, at most four,
    are compared with ``mean`` and ``variance`` of their sources. Both comparisons are Hotelling's test with the full
    covariance. A wrong value is seen if it is off by about six of its errors: 5% of the variance of one output, by the
    default number of paths.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    exact : SpectralMeasure, ThermalMeasure, Source or callable, optional
        The exact side of the first output: a measure, a source with a ``known_covariance``, its connected two-point
        function G(t) of an array of lags, or its covariance K(s, t). By default the exact answer of the package
        (``kallen_lehmann``, ``thermal_measure`` or a known covariance), if there is one.
    significance : float, default 1e-6
        Probability of a false alarm, at most. Exact values with errors near the statistical ones are not allowed for.
    **settings : PropertySettings
        n_paths (16384 by default), n_times, dt and rng.

    Returns
    -------
    float
        Smaller p-value of the two comparisons, times two.

    Raises
    ------
    AssertionError
        If p < significance; the message has the worst value with its error, the key and the theory.
    InputError, InputTypeError
        If an argument is not valid, or there is nothing exact to compare with.

    Examples
    --------
    >>> telegraph = nnqm.Theory(nnqm.MarkovChain([-1.0, 1.0], [[0.9, 0.1], [0.1, 0.9]], 1.0))
    >>> assert_sampled_agrees_with_exact(telegraph, lambda t: 0.8**t) > 1e-6
    True
    >>> assert_sampled_agrees_with_exact(telegraph, lambda t: 0.79**t)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: the sampled side differs from the exact one: G(1) less its exact value 0.79 differs from 0 by ...
    """
    asked, paths = level(significance), PathsOfATest.of(theory, "exact", settings, _COMPARED)
    known = exact
    if known is None:
        try:
            known = exact_kernel(theory)
        except InputError:
            known = None
    comparisons = []
    if known is not None:
        comparisons.append(_of_output(paths, known) if theory.stationary else _of_two_times(paths, known))
    if any(source.stationary for source in theory.sources):
        comparisons.append(_of_inputs(paths))
    if not comparisons:
        raise InputError(f"nothing exact is known of {theory!r}; give its exact covariance: exact=lambda s, t: ...")
    smallest = 1.0
    for difference in comparisons:
        p = min(1.0, difference.p_value() * len(comparisons))
        _judge(p, asked, "the sampled side differs from the exact one", difference.worst(), paths)
        smallest = min(smallest, p)
    return smallest


def _covariance(known: Any) -> Callable[[Floats, Floats], Floats]:
    """K(s, t) of an exact side."""
    if isinstance(known, Source):
        if known.known_covariance is None:
            raise InputError(f"exact must have a known_covariance; got {known!r}; give its covariance as a function")
        return known.known_covariance
    if isinstance(known, TwoPointFunction):
        return lambda s, t: known.connected(np.abs(t - s))
    if not callable(known):
        raise InputTypeError(
            f"exact must be a measure, a source or a function of lags; got {type(known).__name__}; give a function"
        )
    needed = [p for p in signature(known).parameters.values() if p.default is p.empty]

    def values(s: Floats, t: Floats) -> Floats:
        found = floats("exact(t)", known(np.abs(t - s)) if len(needed) == 1 else known(s, t))
        if found.shape not in ((), t.shape):
            raise InputError(f"exact must return one value for each of {len(t)} times; got shape {found.shape}")
        return np.broadcast_to(found, t.shape)

    return values


def _of_output(paths: PathsOfATest, known: Any) -> Difference:
    """Sampled less exact mean, moments and connected two-point function of a stationary output.

    All averages are linear in the paths, so that they have no bias: deviations are from the exact mean. Where it is not
    known, differences of two paths have the same connected function.
    """
    theory, n = paths.theory, len(paths.times)
    lags = [int(k) for k in np.unique(np.round(np.geomspace(1, n, _LAGS)) - 1)]
    x = paths.read(theory.outputs[:1])[:, :, 0]
    mean = known.mean if isinstance(known, TwoPointFunction) else None
    if mean is None and theory.network is None:
        mean = float(theory.sources[0].mean[0])
    group, deviation = theory.group, x if mean is None else x - mean
    if mean is None:
        # Paths of one group share random parameters, so that their difference is connected for each draw of them.
        deviation = (x[::2] - x[1::2]) / np.sqrt(2)
        group = max(1, group // 2)
    functions = [(deviation[:, : n - k] * deviation[:, k:]).mean(axis=1) for k in lags]
    expected = list(_covariance(known)(np.zeros(len(lags)), paths.dt * np.array(lags)))
    words, powers = [f"G({paths.dt * k:.4g})" for k in lags], [2] * len(lags)
    if mean is not None:
        functions.append(x.mean(axis=1))
        expected.append(float(mean))
        words.append("<x>")
        powers.append(1)
    if isinstance(known, TwoPointFunction) and np.isfinite(known.moments).all():
        square = deviation * deviation
        functions += [(square * deviation).mean(axis=1), (square * square).mean(axis=1)]
        expected += list(known.moments[1:])
        words += ["<(x - <x>)^3>", "<(x - <x>)^4>"]
        powers += [3, 4]
    digits = _DIGITS * float(np.abs(x).max())
    return Difference.of(functions, words, group, expected, powers, digits)


def _of_two_times(paths: PathsOfATest, known: Any) -> Difference:
    """Sampled less exact <x(s) x(t)> at some times and pairs of neighbours."""
    at = np.unique(np.linspace(0, len(paths.times) - 1, _PAIRS).round().astype(int))
    first, second = np.concatenate([at, at[:-1]]), np.concatenate([at, at[1:]])
    s, t = paths.times[first], paths.times[second]
    x = paths.read(paths.theory.outputs[:1])[:, :, 0]
    mean = known.mean_at(paths.times) if isinstance(known, Source) else np.zeros(len(paths.times))
    words = [f"<x({a:.4g}) x({b:.4g})>" for a, b in zip(s, t, strict=True)]
    expected = _covariance(known)(s, t) + mean[first] * mean[second]
    return Difference.of(
        list((x[:, first] * x[:, second]).T), words, paths.theory.group, expected.tolist(), [2] * len(words)
    )


def _of_inputs(paths: PathsOfATest) -> Difference:
    """Sampled less exact mean and variance of the stationary inputs."""
    names, means, variances = [], [], []
    inputs = iter(paths.theory.channels[: paths.theory.n_inputs])
    for source in paths.theory.sources:
        of_source = [next(inputs) for _ in range(source.n_inputs)]
        if source.stationary:
            names += of_source
            means += list(source.mean)
            variances += list(source.variance)
    names, means, variances = names[:_CHANNELS], means[:_CHANNELS], variances[:_CHANNELS]
    y = paths.read(names)
    deviation = y - np.array(means)
    functions = [*y.mean(axis=1).T, *(deviation * deviation).mean(axis=1).T]
    words = [f"mean of {name}" for name in names] + [f"variance of {name}" for name in names]
    powers = [1] * len(names) + [2] * len(names)
    return Difference.of(functions, words, paths.theory.group, means + variances, powers)


# ---- bits


def _few(theory: Theory, purpose: str, settings: PropertySettings) -> PathsOfATest:
    """Few paths, whose bits are compared."""
    few = PathsOfATest.of(theory, purpose, {"n_times": _FEW_TIMES, **settings}, _SEARCHED)
    return PathsOfATest(theory, 10 * max(64, theory.group), few.times, few.key)


def _same_runs(run: Correlators, other: Correlators, claim: str, paths: PathsOfATest) -> None:
    for name, sums in run.sums.items():
        if not np.array_equal(sums, other.sums[name], equal_nan=True):
            index = tuple(int(i) for i in np.argwhere(sums != other.sums[name])[0])
            values = f"{sums[index]!r} and {other.sums[name][index]!r}"
            raise AssertionError(f"{claim}: the sums {name!r} differ at {index}, {values}; {paths}")
    if run != other:
        raise AssertionError(f"{claim}: the sums are equal, but the settings of the runs differ; {paths}")


def _same_paths(x: NDArray[Any], y: NDArray[Any], claim: str, paths: PathsOfATest) -> None:
    if not np.array_equal(x, y, equal_nan=True):
        path, time, channel = (int(i) for i in np.argwhere(x != y)[0])
        values = f"{x[path, time, channel]!r} and {y[path, time, channel]!r}"
        raise AssertionError(f"{claim}: path {path} at t = {paths.times[time]:.4g} is {values}; {paths}")


def assert_bits_do_not_depend_on_threads(theory: Theory, **settings: Unpack[PropertySettings]) -> None:
    """Assert that paths and sums are the same bits for 1, 2, 3 and 5 threads, and for ranges of paths.

    Nothing is statistical: any difference is a failure. Two calls with one key are compared as well, so that a process
    with random numbers of its own is found.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    **settings : PropertySettings
        n_times, dt and rng; the number of paths is 640, or ten groups that share random parameters.

    Raises
    ------
    AssertionError
        If a bit differs; the message has the first path and time, or the sum, and both values.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_bits_do_not_depend_on_threads(nnqm.builtin_theory("deep-tanh"))
    """
    paths = _few(theory, "bits", settings)

    def drawn(chosen: int | range, n_threads: int) -> NDArray[Any]:
        return sample_paths(
            theory, chosen, times=paths.times, key=paths.key, channels=theory.channels, n_threads=n_threads
        )

    def summed(n_threads: int) -> Correlators:
        return simulate(theory, paths.n_paths, times=paths.times, rng=paths.key, n_threads=n_threads)

    alone, part = drawn(paths.n_paths, 1), range(67, 131)
    _same_paths(alone, drawn(paths.n_paths, 1), "two calls with one key give other bits", paths)
    _same_paths(alone[part.start : part.stop], drawn(part, 1), "bits depend on the range of paths", paths)
    run = summed(1)
    for n in _THREADS:
        claim = f"bits depend on the number of threads, 1 or {n}"
        _same_paths(alone, drawn(paths.n_paths, n), claim, paths)
        _same_runs(run, summed(n), claim, paths)


def assert_extend_equals_one_run(theory: Theory, **settings: Unpack[PropertySettings]) -> None:
    """Assert that a run that is extended, and the blocks of a run that are merged, are the bits of one run.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    **settings : PropertySettings
        n_times, dt and rng; the number of paths is 640, or ten groups that share random parameters.

    Raises
    ------
    AssertionError
        If a bit differs; the message has the sum and both values.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_extend_equals_one_run(nnqm.builtin_theory("random-tanh"))
    """
    paths = _few(theory, "extend", settings)

    def run(n_paths: int, **options: Any) -> Correlators:
        return simulate(theory, n_paths, times=paths.times, rng=paths.key, n_blocks=5, **options)

    whole, half = run(paths.n_paths), paths.n_paths // 2
    _same_runs(whole, extend(run(half), paths.n_paths), "an extended run is not the bits of one run", paths)
    parts = merge([run(paths.n_paths, blocks=range(2)), run(paths.n_paths, blocks=range(2, 5))])
    _same_runs(whole, parts, "merged blocks are not the bits of one run", paths)


def assert_saved_and_loaded_is_the_same(theory: Theory, **settings: Unpack[PropertySettings]) -> None:
    """Assert that a theory survives a dictionary, a pickle, a deep copy and a saved run, and draws the same bits.

    Parameters
    ----------
    theory : Theory
        Its sources have a ``kind`` and are importable; a Hamiltonian of a function is saved as a table, and is not the
        same.
    **settings : PropertySettings
        n_times, dt and rng; the number of paths is 640, or ten groups that share random parameters.

    Raises
    ------
    AssertionError
        If a copy is not equal, has another hash or draws other paths; the message says which copy.
    InputError, InputTypeError
        If an argument is not valid, or the theory cannot be saved.

    Examples
    --------
    >>> assert_saved_and_loaded_is_the_same(nnqm.builtin_theory("three-inputs"))
    """
    paths = _few(theory, "saved", settings)
    run = simulate(theory, paths.n_paths, times=paths.times, rng=paths.key)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load(save(run, Path(folder) / "run.nc"))
    _same_runs(run, loaded, "a run that is saved and loaded is not the same", paths)
    assert loaded.theory is not None
    try:
        pickled = pickle.dumps(theory)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        remedy = "define its classes and functions at the top of a module"
        raise AssertionError(f"the theory cannot be pickled ({error}); {remedy}; {written(theory)}") from error
    copies = {
        "Theory.from_dict(theory.to_dict())": Theory.from_dict(theory.to_dict()),
        "pickle.loads(pickle.dumps(theory))": pickle.loads(pickled),
        "copy.deepcopy(theory)": copy.deepcopy(theory),
        "the theory of a loaded run": loaded.theory,
    }
    for name, again in copies.items():
        if again != theory:
            raise AssertionError(f"{name} is not the theory: {again!r}; {written(theory)}")
        if hash(again) != hash(theory):
            raise AssertionError(f"{name} has another hash than the theory, to which it is equal; {written(theory)}")
        drawn = [sample_paths(t, 64, times=paths.times, key=paths.key) for t in (theory, again)]
        _same_paths(drawn[0], drawn[1], f"{name} draws other paths", paths)


def assert_theory(
    theory: Theory,
    *,
    stationary: bool | None = None,
    reversible: bool | None = None,
    positive: bool | None = None,
    markov: bool | None = None,
    significance: float = 1e-6,
    **settings: Unpack[PropertySettings],
) -> None:
    """Assert all properties of a quantum theory.

    Bits, saved files and the exact side are always compared. By default a theory must be stationary unless it says of
    itself that it is not (``Theory.stationary``); one that is stationary must be reversible and positive as well, and
    another one positive if it says so (``Theory.positive_because``). It must be Markov if it is one stationary Markov
    process with open paths and one input, without a network.

    Parameters
    ----------
    theory : Theory
        A theory of any kind.
    stationary, reversible, positive, markov : bool, optional
        True asserts a property, False leaves it out; by default as above.
    significance : float, default 1e-6
        Probability of a false alarm of all properties together, at most.
    **settings : PropertySettings
        n_paths, n_times, dt and rng.

    Raises
    ------
    AssertionError
        If a property fails; the message is the one of its own function.
    InputError, InputTypeError
        If an argument is not valid.

    Examples
    --------
    >>> assert_theory(nnqm.Theory(nnqm.OrnsteinUhlenbeck(omega=2.0)))
    """
    asked = level(significance)
    assert_bits_do_not_depend_on_threads(theory, **settings)
    assert_extend_equals_one_run(theory, **settings)
    assert_saved_and_loaded_is_the_same(theory, **settings)
    source = theory.sources[0]
    plain = theory.network is None and len(theory.sources) == 1 and theory.n_inputs == 1
    is_markov = plain and source.markov and source.stationary and source.period is None
    claims: list[tuple[Callable[..., float], bool]] = [
        (assert_stationary, theory.stationary if stationary is None else stationary),
        (assert_reversible, theory.stationary if reversible is None else reversible),
        (assert_positive, bool(theory.stationary or theory.positive_because) if positive is None else positive),
        (assert_markov, is_markov if markov is None else markov),
        (assert_sampled_agrees_with_exact, _has_exact(theory)),
    ]
    chosen = [claim for claim, wanted in claims if wanted]
    for claim in chosen:
        claim(theory, significance=asked / len(chosen), **settings)


def _has_exact(theory: Theory) -> bool:
    """Whether there is an exact side to compare with."""
    if any(source.stationary for source in theory.sources):
        return True
    try:
        exact_kernel(theory)
    except InputError:
        return False
    return True
