"""Theories written down as TOML files: read, checked key by key, never evaluated."""

from __future__ import annotations

import difflib
import dis
import inspect
import itertools
import math
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .._arguments import Floats, choice, floats, integer, positive, positives
from ..quantum.hamiltonian import Hamiltonian
from ..theories.densities import Density
from ..theories.ground_state import GroundStateProcess
from ..theories.linear_processes import KarhunenLoeveProcess
from ..theories.networks import Network, RandomNetwork
from ..theories.sources import OrnsteinUhlenbeck, Source, Times
from ..theories.theory import _BUILTIN, Theory, builtin_theory
from ..theories.thermal import ThermalOrnsteinUhlenbeck, ThermalProcess
from ..time_networks.decompose import karhunen_loeve
from ..time_networks.kernels import Kernel

__all__ = ["TheoryFile", "load_theory", "load_theory_file"]

# Above this a density is a mistake in the widths rather than a network.
_MOST_WEIGHTS = 10**8

_TOP = ("hbar", "mass", "source", "network", "random_network", "run")
_KERNEL = ("omega", "sigma", "beta", "duration", "length", "variance", "nu", "alpha")
_SOURCES = {
    "ornstein-uhlenbeck": ("omega", "sigma", "beta"),
    "ground-state": ("potential", "beta"),
    "times": ("reflected",),
    "karhunen-loeve": ("kernel", "interval", "modes", "density", *_KERNEL),
}
_SOURCE = tuple(dict.fromkeys(("kind", *(key for keys in _SOURCES.values() for key in keys))))
_KERNEL_NAMES = (
    *("wiener", "brownian_bridge", "ornstein_uhlenbeck", "squared_exponential", "matern", "rational_quadratic"),
    "root_exponential",
)
_INLINE = ("weights", "biases")
_STORED = ("weights_file",)
_DENSITY = ("widths", "density", "seed", "weight_std", "bias_std")
_NETWORK = (*_INLINE, *_STORED, *_DENSITY, "activation")
_RANDOM = ("widths", "activation", "weights", "biases", "weight_std", "bias_std", "group", "shared")
_RUN = ("paths", "times", "dt", "seed", "threads", "precision")
_TABLES = {
    "the top of the file": _TOP,
    "[[source]]": _SOURCE,
    "[network]": _NETWORK,
    "[random_network]": _RANDOM,
    "[run]": _RUN,
}


@dataclass(frozen=True)
class TheoryFile:
    """A theory and how to run it.

    Attributes
    ----------
    name : str
        Built-in name, or the stem of the file.
    theory : Theory
    run : dict
        Arguments of ``simulate``: n_paths, n_times, dt, rng, n_threads, precision; those of
        ``[run]`` in the file over the defaults 200000, 256 or one period, ``natural_step`` of the sources (0.2/omega),
        1, 0, "float32".

    Examples
    --------
    >>> from nnqm import simulate
    >>> file = load_theory_file("oscillator")
    >>> simulate(file.theory, **{**file.run, "n_paths": 1000}).n_times
    256
    """

    name: str
    theory: Theory
    run: Mapping[str, Any]


def load_theory(source: str | os.PathLike[str]) -> Theory:
    """Read a theory from a TOML file, or take a built-in one.

    Parameters
    ----------
    source : path-like or str
        A file as docs/theory-file.md describes, or the name of a built-in theory. A name wins over a file of that
        name; ``./name`` is the file.

    Returns
    -------
    Theory

    Raises
    ------
    TypeError, ValueError
        If there is no such file or name, the file is not TOML, or a key is unknown, missing or not valid. The
        message names the file and the key.

    Examples
    --------
    >>> load_theory("deep-tanh").network
    Network(1-4-3-1, tanh)
    """
    return load_theory_file(source).theory


def load_theory_file(source: str | os.PathLike[str]) -> TheoryFile:
    """Read a theory and the run settings that go with it; see ``load_theory`` for parameters and errors.

    Returns
    -------
    TheoryFile
    """
    if isinstance(source, str) and source in _BUILTIN:
        theory = builtin_theory(source)
        return TheoryFile(source, theory, _run_settings({}, theory))
    path = Path(source)
    if not path.exists():
        known = sorted(_BUILTIN)
        near = _nearest(str(source), known)
        raise ValueError(
            f"theory {str(source)!r} is neither a file nor a built-in name; "
            f"give a TOML file or one of {', '.join(known)}{near}"
        )
    with located(str(path)):
        data = _parse(path)
        theory = _theory(data, path.parent)
        return TheoryFile(path.stem, theory, _run_settings(_table(data, "run", _RUN), theory))


def raised_by_nnqm(error: BaseException) -> bool:
    """Whether a ``raise`` statement of this package made the error, as for bad input.

    An error that NumPy or the core throws inside a call of this package is a fault of the package,
    not of the input.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    inside = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0] == __name__.partition(".")[0]
    return inside and trace.tb_frame.f_code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]


@contextmanager
def located(place: str) -> Iterator[None]:
    """Begin the messages of input errors with the place that they speak of."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not raised_by_nnqm(error):
            raise
        raise type(error)(f"{place}: {error}") from None


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}; give a TOML file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        return tomllib.loads(text)
    except ValueError as error:
        # TOMLDecodeError says line and column; an integer of thousands of digits is a plain ValueError.
        raise ValueError(f"is not valid TOML: {_reason(error)}; see docs/theory-file.md") from None
    except RecursionError:
        raise ValueError("is not valid TOML: nested too deeply; weights have three levels") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def _known_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key in known:
            continue
        homes = [where for where, keys in _TABLES.items() if key in keys]
        hint = f"; it belongs to {' or '.join(homes)}" if homes else _nearest(key, known) or "; remove it"
        raise ValueError(f"key {place}{key} is unknown; known are {', '.join(known)}{hint}")


def _table(data: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise TypeError(f"{name} must be a table; got {_brief(table)}; begin it with [{name}]")
    _known_keys(table, known, f"{name}.")
    return table


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _require(table: Mapping[str, Any], key: str, place: str, remedy: str) -> Any:
    if key not in table:
        raise ValueError(f"key {place}{key} is missing; {remedy}")
    return table[key]


def _number(key: str, value: Any) -> float:
    # NumPy would take "1.5" and true for numbers; a file should say what it means.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{key} must be a number; got {_brief(value)}; write it without quotes")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{key} must be a double-precision number; got {_brief(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"{key} must be finite; got {number}")
    return number


def _numbers(key: str, value: Any) -> Floats:
    if not isinstance(value, list):
        raise TypeError(f"{key} must be an array of numbers; got {_brief(value)}; write it as [1.0, 2.0]")
    return floats(key, [_number(f"{key}[{i}]", v) for i, v in enumerate(value)], 1)


def _whole(key: str, value: Any, minimum: int, maximum: int = 2**62) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key} must be an integer; got {_brief(value)}; write it as 42")
    return integer(key, value, minimum, maximum)


def _choice(key: str, value: Any, options: Iterable[str]) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{key} must be a string; got {_brief(value)}; choose from {', '.join(sorted(options))}")
    return choice(key, value, options)


def _list(key: str, value: Any, of: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{key} must be an array of {of}; got {_brief(value)}")
    if not value:
        raise ValueError(f"{key} must have at least one entry; got []")
    return value


def _theory(data: Mapping[str, Any], folder: Path) -> Theory:
    _known_keys(data, _TOP, "")
    constants = {key: positive(key, _number(key, data[key])) for key in ("hbar", "mass") if key in data}
    entries = _require(data, "source", "", 'begin one with [[source]], kind = "ornstein-uhlenbeck" and omega = 1.0')
    if isinstance(entries, dict):
        raise TypeError("source must be an array of tables; got one table; write [[source]], not [source]")
    tables = enumerate(_list("source", entries, "tables"))
    sources = [_source(entry, f"source[{i}]", constants) for i, entry in tables]
    if "network" in data and "random_network" in data:
        raise ValueError("a theory has one network; got network and random_network; keep one")
    network: Network | RandomNetwork | None = None
    if "network" in data:
        network = _network(_table(data, "network", _NETWORK), folder)
    elif "random_network" in data:
        network = _random_network(_table(data, "random_network", _RANDOM))
    return Theory(sources, network, **constants)


def _source(entry: Any, place: str, constants: Mapping[str, float]) -> Source:
    if not isinstance(entry, dict):
        raise TypeError(f"{place} must be a table; got {_brief(entry)}; begin it with [[source]]")
    _known_keys(entry, _SOURCE, f"{place}.")
    kind = _require(entry, "kind", f"{place}.", 'write kind = "ornstein-uhlenbeck"')
    _choice(f"{place}.kind", kind, _SOURCES)
    for key in entry:
        if key != "kind" and key not in _SOURCES[kind]:
            raise ValueError(f"{place}.{key} does not belong to a source of kind {kind!r}; it takes {_SOURCES[kind]}")
    if kind == "times":
        reflected = entry.get("reflected", False)
        if not isinstance(reflected, bool):
            raise TypeError(f"{place}.reflected must be true or false; got {_brief(reflected)}")
        return Times(reflected)
    if kind == "karhunen-loeve":
        return _karhunen_loeve(entry, place)
    beta = positive(f"{place}.beta", _number(f"{place}.beta", entry["beta"])) if "beta" in entry else None
    if kind == "ground-state":
        remedy = "write its coefficients, the constant first: potential = [0.0, 0.0, 0.5]"
        coefficients = _numbers(f"{place}.potential", _require(entry, "potential", f"{place}.", remedy))
        with located(place):
            hbar, mass = (constants.get(key, 1.0) for key in ("hbar", "mass"))
            hamiltonian = Hamiltonian(coefficients, mass, hbar)
            return GroundStateProcess(hamiltonian) if beta is None else ThermalProcess(hamiltonian, beta)
    rates = _rates(f"{place}.omega", _require(entry, "omega", f"{place}.", "write omega = 1.0"))
    strengths = _rates(f"{place}.sigma", entry.get("sigma", 1.0))
    with located(place):
        if beta is None:
            return OrnsteinUhlenbeck(rates, strengths)
        return ThermalOrnsteinUhlenbeck(rates, strengths, beta=beta)


def _karhunen_loeve(entry: Mapping[str, Any], place: str) -> Source:
    names = {name.replace("_", "-"): getattr(Kernel, name) for name in _KERNEL_NAMES}
    name = _require(entry, "kernel", f"{place}.", 'write kernel = "ornstein-uhlenbeck"')
    make = names[_choice(f"{place}.kernel", name, names)]
    known = inspect.signature(make).parameters
    given = {key: _number(f"{place}.{key}", entry[key]) for key in _KERNEL if key in entry}
    for key in given:
        if key not in known:
            raise ValueError(f"{place}.{key} does not belong to the kernel {name!r}; it takes {', '.join(known)}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty:
            _require(given, key, f"{place}.", f"the kernel {name!r} needs it: write {key} = 1.0")
    interval = _numbers(f"{place}.interval", _require(entry, "interval", f"{place}.", "write interval = [0.0, 10.0]"))
    density = _density(f"{place}.density", entry.get("density", "gaussian"))
    with located(place):
        if interval.shape != (2,):
            raise ValueError(f"interval must have two entries; got {interval.tolist()}; write interval = [0.0, 10.0]")
        ends = (float(interval[0]), float(interval[1]))
        expansion = karhunen_loeve(make(**given), ends, _whole("modes", entry.get("modes", 64), 1))
        return KarhunenLoeveProcess(expansion, density)


def _rates(key: str, value: Any) -> tuple[float, ...]:
    return positives(key, _numbers(key, value) if isinstance(value, list) else _number(key, value))


def _network(table: Mapping[str, Any], folder: Path) -> Network:
    forms = {"weights": _INLINE, "weights_file": _STORED, "widths": _DENSITY}
    given = [key for key in forms if key in table]
    if len(given) != 1:
        got = f"got {' and '.join(given)}; keep one" if given else "got none of them; add one"
        raise ValueError(f"network must have exactly one of weights, weights_file and widths; {got}")
    for key in table:
        if key != "activation" and key not in forms[given[0]]:
            owner = next(form for form, keys in forms.items() if key in keys)
            raise ValueError(
                f"network.{key} goes with network.{owner}, but the network is given by {given[0]}; "
                f"remove {key} or {given[0]}"
            )
    activation = _activation("network", table.get("activation", "tanh"))
    if given[0] == "widths":
        with located("network"):
            drawn = _drawn(table)
            return Network(drawn.weights, drawn.biases, activation)
    if given[0] == "weights_file":
        weights, biases = _stored(table["weights_file"], folder)
    else:
        weights = [
            _matrix(f"network.weights[{i}]", w)
            for i, w in enumerate(_list("network.weights", table["weights"], "matrices"))
        ]
        biases = None
        if "biases" in table:
            vectors = _list("network.biases", table["biases"], "arrays of numbers")
            biases = [_numbers(f"network.biases[{i}]", b) for i, b in enumerate(vectors)]
    with located("network"):
        return Network(weights, biases, activation)


def _activation(place: str, value: Any) -> str | list[str]:
    known = _core.activations()
    if not isinstance(value, list):
        return _choice(f"{place}.activation", value, known)
    return [_choice(f"{place}.activation[{i}]", name, known) for i, name in enumerate(value)]


def _widths(value: Any) -> list[int]:
    widths = [_whole(f"widths[{i}]", w, 1) for i, w in enumerate(_list("widths", value, "integers"))]
    count = sum(a * b for a, b in itertools.pairwise(widths))
    if count > _MOST_WEIGHTS:
        raise ValueError(f"widths must give at most {_MOST_WEIGHTS} weights; got {count}; use narrower ones")
    return widths


def _random_network(table: Mapping[str, Any]) -> RandomNetwork:
    widths = _require(table, "widths", "random_network.", "write widths = [1, 16, 1]")
    activation = _activation("random_network", table.get("activation", "tanh"))
    with located("random_network"):
        options: dict[str, Any] = {}
        for key in ("weights", "biases"):
            if key in table:
                options[key] = _per_layer(key, table[key], _density)
        for key in ("weight_std", "bias_std"):
            if key in table:
                options[key] = _per_layer(key, table[key], _number)
        if "shared" in table:
            options["shared"] = _list("shared", table["shared"], "true or false")
            for i, value in enumerate(options["shared"]):
                if not isinstance(value, bool):
                    raise TypeError(f"shared[{i}] must be true or false; got {_brief(value)}")
        return RandomNetwork(_widths(widths), activation, group=_whole("group", table.get("group", 1), 1), **options)


def _per_layer(key: str, value: Any, read: Callable[[str, Any], Any]) -> Any:
    return [read(f"{key}[{i}]", v) for i, v in enumerate(value)] if isinstance(value, list) else read(key, value)


def _density(key: str, value: Any) -> Density:
    if isinstance(value, dict):
        _known_keys(value, ("name", "nu"), f"{key}.")
        name = _require(value, "name", f"{key}.", 'write { name = "student-t", nu = 5.0 }')
        return Density(name, _number(f"{key}.nu", value["nu"]) if "nu" in value else None)
    if not isinstance(value, str):
        raise TypeError(
            f'{key} must be the name of a density, or {{ name = "student-t", nu = 5.0 }}; got {_brief(value)}'
        )
    return Density(value)


def _matrix(key: str, value: Any) -> Floats:
    rows = [_numbers(f"{key}[{i}]", row) for i, row in enumerate(_list(key, value, "rows, one per output"))]
    for i, row in enumerate(rows):
        if row.size != rows[0].size:
            raise ValueError(
                f"{key} must have rows of equal length; row {i} has {row.size} entries, "
                f"row 0 has {rows[0].size}; a row holds the weights of one output"
            )
    return np.array(rows)


def _drawn(table: Mapping[str, Any]) -> Network:
    density = _require(table, "density", "", 'write density = "normal"')
    _choice("density", density, ["normal"])
    seed = _whole("seed", _require(table, "seed", "", "the theory is its weights: write seed = 1"), 0, 2**128)
    return Network.random(
        _widths(table["widths"]),
        rng=seed,
        weight_std=_number("weight_std", table.get("weight_std", 1.0)),
        bias_std=_number("bias_std", table.get("bias_std", 0.0)),
    )


def _stored(name: Any, folder: Path) -> tuple[list[Floats], list[Floats] | None]:
    """Arrays weights_0, biases_0, weights_1, ... of an npz file."""
    if not isinstance(name, str):
        raise TypeError(f"network.weights_file must be a string; got {_brief(name)}; name an .npz file")
    path = folder / name
    arrays = read_npz(path, "network.weights_file")
    n_layers = sum(key.startswith("weights_") for key in arrays)
    with located(f"network.weights_file {path}"):
        expected = [f"{kind}_{i}" for i in range(n_layers) for kind in ("weights", "biases")]
        for key in arrays:
            if key not in expected:
                raise ValueError(
                    f"array {key!r} is unknown; name them weights_0, biases_0, weights_1, ... without gaps"
                )
        has_biases = any(key.startswith("biases_") for key in arrays)
        for key in expected if has_biases else expected[::2]:
            if key not in arrays:
                raise ValueError(f"array {key!r} is missing; give one per layer, or no biases at all")
        for key, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise TypeError(f"array {key!r} must hold real numbers; got dtype {array.dtype}")
        if not n_layers:
            raise ValueError("holds no arrays; name them weights_0, biases_0, weights_1, ...")
        weights = [floats(f"weights_{i}", arrays[f"weights_{i}"], 2) for i in range(n_layers)]
        biases = [floats(f"biases_{i}", arrays[f"biases_{i}"], 1) for i in range(n_layers) if has_biases]
    return weights, biases or None


def read_npz(
    path: Path, key: str, choose: Callable[[list[str]], list[str]] = list
) -> dict[str, np.ndarray[Any, np.dtype[Any]]]:
    """Arrays of an npz file, those that ``choose`` picks from their names, without unpickling.

    Errors name the key that named the file.
    """
    import zipfile

    remedy = "write it with numpy.savez, plain numbers only"
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError(f"{key} must be an .npz file; {path} holds one array; {remedy}")
        with loaded:
            arrays = {name: loaded[name] for name in choose(loaded.files)}
        for name, array in arrays.items():
            # NumPy hands out what is not an array as bytes.
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{key}: {name!r} in {path} is not an array; {remedy}")
        return arrays
    except FileNotFoundError:
        raise ValueError(f"{key}: file {path} does not exist; paths are relative to the TOML file") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        if raised_by_nnqm(error):
            raise
        raise ValueError(f"{key}: {path} cannot be read as .npz ({_reason(error)}); {remedy}") from None


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


def _run_settings(table: Mapping[str, Any], theory: Theory) -> dict[str, Any]:
    step = min(s.natural_step for s in theory.sources)
    n_times = 256 if theory.period is None else round(theory.period / step)
    n_times = _whole("run.times", table.get("times", n_times), 1)
    if "dt" in table:
        step = positive("run.dt", _number("run.dt", table["dt"]))
    elif theory.period is not None:
        step = theory.period / n_times
    return {
        "n_paths": _whole("run.paths", table.get("paths", -(-200_000 // theory.group) * theory.group), 1),
        "n_times": n_times,
        "dt": step,
        "rng": _whole("run.seed", table.get("seed", 1), 0, 2**128),
        "n_threads": _whole("run.threads", table.get("threads", 0), 0, 4096),
        "precision": _choice("run.precision", table.get("precision", "float32"), ("float32", "float64")),
    }
