"""Theories in TOML files: every key is checked, and nothing is executed."""

from __future__ import annotations

import inspect
import itertools
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from .._arguments import Floats, floats, nearest_hint, positive
from .._memory import memory
from ..errors import InputError, InputTypeError, located, reason_of
from ..runs.reading import read_arrays
from ..theories.builtin import BUILTIN_THEORIES, builtin_theory
from ..theories.densities import Density
from ..theories.linear_processes import KarhunenLoeveProcess
from ..theories.networks import Network, RandomNetwork
from ..theories.source import Source, known_kind, sources_by_kind
from ..theories.table import (
    Table,
    brief,
    filled_list,
    real_number,
    real_numbers,
    required,
    text_choice,
    truth,
    whole_number,
)
from ..theories.theory import Theory
from ..theories.training import GradientDescent
from ..time_networks.decompose import karhunen_loeve
from ..time_networks.kernels import Kernel
from .tables import (
    DENSITY_KEYS,
    INLINE_KEYS,
    KERNEL_KEYS,
    KERNEL_NAMES,
    NETWORK_KEYS,
    RANDOM_KEYS,
    RUN_KEYS,
    STORED_KEYS,
    TOP_KEYS,
    TRAINING_KEYS,
    keys_of_sources,
    need_known_keys,
    source_keys,
    sub_table,
)

__all__ = ["TheoryFile", "load_theory_file"]

# Largest networks of a file; more indicate a mistake in the widths. A GiB holds the copies of so many weights.
_MOST_WEIGHTS, _MOST_LAYERS = 2**24, 1024
# Bytes for each weight while a network is made: the draws, two copies and that of the core.
_BYTES_OF_WEIGHT = 64
# Roughest Matern kernel that is decomposed within ten seconds.
_ROUGHEST = 0.25
# Largest file in bytes, which takes about a minute to read, and most parts of a dotted key, a.b.c.
_LARGEST, _MOST_PARTS = 2**26, 100
# Without a way back, so that its time is linear in the size.
_DOTTED = re.compile(rf"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){{{_MOST_PARTS}}}""")


@dataclass(frozen=True)
class TheoryFile:
    """A theory and its run settings.

    Attributes
    ----------
    name : str
        Name of a built-in theory, or name of the file without suffix.
    theory : Theory
    run : dict
        Arguments of ``simulate``: n_paths, n_times, dt, rng, n_threads and precision from the table ``[run]``. Their
        defaults are 200000, 256 or one period, the smallest ``natural_step`` of the sources (0.2/omega), 1, 0 and
        "float32".

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


def load_theory_file(source: str | os.PathLike[str]) -> TheoryFile:
    """Load a theory and its run settings from a TOML file, or by the name of a built-in theory.

    Parameters
    ----------
    source : path-like or str
        Path of a file in the format of docs/theory-file.md, or the name of a built-in theory. A built-in name has
        precedence over a file of the same name; use ``./name`` for the file.

    Returns
    -------
    TheoryFile

    Raises
    ------
    InputError, InputTypeError
        If there is no file or built-in theory of this name, the file is not TOML, or a key is unknown, missing or not
        valid. The message names the file and the key.

    Examples
    --------
    >>> load_theory_file("deep-tanh").theory.network
    Network(1-4-3-1, tanh)
    """
    if isinstance(source, str) and source in BUILTIN_THEORIES:
        theory = builtin_theory(source)
        return TheoryFile(source, theory, _run_settings({}, theory))
    path = Path(source)
    if not os.path.exists(path):
        known = sorted(BUILTIN_THEORIES)
        near = nearest_hint(str(source), known)
        raise InputError(
            f"theory {str(source)!r} is neither a file nor a built-in name; "
            f"give a TOML file or one of {', '.join(known)}{near}"
        )
    with located(str(path)):
        data = _parse(path)
        theory = _theory(data, path.parent)
        return TheoryFile(path.stem, theory, _run_settings(sub_table(data, "run", RUN_KEYS), theory))


def _parse(path: Path) -> dict[str, Any]:
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise InputError(f"has {size} bytes, more than {_LARGEST}; put the weights into an .npz file, weights_file")
        text = path.read_bytes().decode()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}; give a TOML file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    if _DOTTED.search(text):
        raise InputError(f"is not valid TOML: a key has more than {_MOST_PARTS} parts; keys have at most two")
    try:
        return tomllib.loads(text)
    except ValueError as error:
        # TOMLDecodeError contains line and column; an integer of thousands of digits raises a plain ValueError.
        raise InputError(f"is not valid TOML: {reason_of(error)}{_line_at_fault(error, text)}") from None
    except RecursionError:
        raise InputError("is not valid TOML: nested too deeply; weights have three levels") from None


def _line_at_fault(error: ValueError, text: str) -> str:
    """The line of a file that is not valid TOML, with the rule of TOML that it breaks, for a message."""
    told = str(error)
    place = re.search(r"at line (\d+)", told)
    lines = text.splitlines()
    line = lines[int(place[1]) - 1].strip() if place and int(place[1]) <= len(lines) else ""
    rules = {
        "Invalid value": "texts need straight quotes, and numbers are decimals such as 0.5 or 1e-3",
        "Expected newline": "a line has one key = value, without a comma after it; fractions are not evaluated",
        "Expected '='": "write key = value",
        "Cannot overwrite": "a key stands once in its table; each source begins with its own [[source]]",
        "Cannot declare": "a table stands once; only [[source]] repeats",
    }
    rule = next((rule for begin, rule in rules.items() if told.startswith(begin)), "see docs/theory-file.md")
    return f"; the line is {brief(line)}; {rule}" if line else f"; {rule}"


def _theory(data: Mapping[str, Any], folder: Path) -> Theory:
    need_known_keys(data, TOP_KEYS, "")
    constants = {key: positive(key, real_number(key, data[key])) for key in ("hbar", "mass") if key in data}
    entries = required(data, "source", "", 'begin one with [[source]], kind = "ornstein-uhlenbeck" and omega = 1.0')
    if isinstance(entries, dict):
        raise InputTypeError("source must be an array of tables; got one table; write [[source]], not [source]")
    tables = enumerate(filled_list("source", entries, "tables"))
    sources = [_source(entry, f"source[{i}]", constants) for i, entry in tables]
    if "network" in data and "random_network" in data:
        raise InputError("a theory has one network; got network and random_network; keep one")
    network: Network | RandomNetwork | None = None
    if "network" in data:
        network = _network(sub_table(data, "network", NETWORK_KEYS), folder)
    elif "random_network" in data:
        network = _random_network(sub_table(data, "random_network", RANDOM_KEYS))
    return Theory(sources, network, **constants)


def _source(entry: Any, place: str, constants: Mapping[str, float]) -> Source:
    if not isinstance(entry, dict):
        raise InputTypeError(f"{place} must be a table; got {brief(entry)}; begin it with [[source]]")
    known = keys_of_sources()
    kind = required(entry, "kind", f"{place}.", 'write kind = "ornstein-uhlenbeck"')
    if not isinstance(kind, str):
        raise InputTypeError(f"{place}.kind must be a string; got {brief(kind)}; choose from {', '.join(known)}")
    if kind in BUILTIN_THEORIES:
        raise InputError(
            f"{place}.kind {kind!r} is a built-in theory, not a kind of source; nnqm run {kind} needs no file; "
            f"choose from {', '.join(known)}"
        )
    known_kind(f"{place}.kind", kind, known)
    of_any, own = source_keys(), ("kind", *known[kind])
    for key in entry:
        if key in of_any and key not in own:
            takes = ", ".join(known[kind])
            raise InputError(f"{place}.{key} does not belong to a source of kind {kind!r}; it takes {takes}")
    need_known_keys(entry, own, f"{place}.")
    if kind == KarhunenLoeveProcess.kind:
        # The table defines the process by a kernel, which the class of the process does not use.
        return _karhunen_loeve(entry, place)
    return sources_by_kind()[kind].from_table(Table(entry, place, constants))


def _karhunen_loeve(entry: Mapping[str, Any], place: str) -> Source:
    names = {name.replace("_", "-"): getattr(Kernel, name) for name in KERNEL_NAMES}
    name = required(entry, "kernel", f"{place}.", 'write kernel = "ornstein-uhlenbeck"')
    make = names[text_choice(f"{place}.kernel", name, names)]
    known = inspect.signature(make).parameters
    given = {key: real_number(f"{place}.{key}", entry[key]) for key in KERNEL_KEYS if key in entry}
    for key in given:
        if key not in known:
            raise InputError(f"{place}.{key} does not belong to the kernel {name!r}; it takes {', '.join(known)}")
    for key, parameter in known.items():
        if parameter.default is parameter.empty:
            required(given, key, f"{place}.", f"the kernel {name!r} needs it: write {key} = 1.0")
    if name == "matern" and given["nu"] < _ROUGHEST:
        raise InputError(
            f"{place}.nu must be at least {_ROUGHEST:g}; got {given['nu']:g}: the decomposition of a rougher kernel "
            "takes minutes; use nnqm.karhunen_loeve"
        )
    interval = real_numbers(
        f"{place}.interval", required(entry, "interval", f"{place}.", "write interval = [0.0, 10.0]")
    )
    density = _density(f"{place}.density", entry.get("density", "gaussian"))
    with located(place):
        if interval.shape != (2,):
            raise InputError(f"interval must have two entries; got {interval.tolist()}; write interval = [0.0, 10.0]")
        ends = (float(interval[0]), float(interval[1]))
        expansion = karhunen_loeve(make(**given), ends, whole_number("modes", entry.get("modes", 64), 1))
        return KarhunenLoeveProcess(expansion, density)


def _network(table: Mapping[str, Any], folder: Path) -> Network:
    forms = {"weights": INLINE_KEYS, "weights_file": STORED_KEYS, "widths": DENSITY_KEYS}
    given = [key for key in forms if key in table]
    if len(given) != 1:
        got = f"got {' and '.join(given)}; keep one" if given else "got none of them; add one"
        raise InputError(f"network must have exactly one of weights, weights_file and widths; {got}")
    for key in table:
        if key != "activation" and key not in forms[given[0]]:
            owner = next(form for form, keys in forms.items() if key in keys)
            raise InputError(
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
        _need_few_layers(table["weights"])
        weights = [
            _matrix(f"network.weights[{i}]", w)
            for i, w in enumerate(filled_list("network.weights", table["weights"], "matrices"))
        ]
        biases = None
        if "biases" in table:
            vectors = filled_list("network.biases", table["biases"], "arrays of numbers")
            biases = [real_numbers(f"network.biases[{i}]", b) for i, b in enumerate(vectors)]
    with located("network"):
        return Network(weights, biases, activation)


def _need_few_layers(layers: Any) -> None:
    if isinstance(layers, list) and len(layers) > _MOST_LAYERS:
        raise InputError(f"network.weights must have at most {_MOST_LAYERS} layers; got {len(layers)}; use fewer")


def _activation(place: str, value: Any) -> str | list[str]:
    known = _core.activations()
    if not isinstance(value, list):
        return text_choice(f"{place}.activation", value, known)
    return [text_choice(f"{place}.activation[{i}]", name, known) for i, name in enumerate(value)]


def _widths(value: Any) -> list[int]:
    widths = [whole_number(f"widths[{i}]", w, 1) for i, w in enumerate(filled_list("widths", value, "integers"))]
    if len(widths) - 1 > _MOST_LAYERS:
        raise InputError(f"widths must give at most {_MOST_LAYERS} layers; got {len(widths) - 1}; use fewer")
    count = sum(a * b for a, b in itertools.pairwise(widths))
    most = min(_MOST_WEIGHTS, memory()[0] // _BYTES_OF_WEIGHT)
    if count > most:
        raise InputError(f"widths must give at most {most:.0f} weights; got {count}; use narrower layers")
    return widths


def _random_network(table: Mapping[str, Any]) -> RandomNetwork:
    widths = required(table, "widths", "random_network.", "write widths = [1, 16, 1]")
    activation = _activation("random_network", table.get("activation", "tanh"))
    with located("random_network"):
        options: dict[str, Any] = {}
        for key in ("weights", "biases"):
            if key in table:
                options[key] = _per_layer(key, table[key], _density)
        for key in ("weight_std", "bias_std"):
            if key in table:
                options[key] = _per_layer(key, table[key], real_number)
        if "shared" in table:
            options["shared"] = filled_list("shared", table["shared"], "true or false")
            for i, value in enumerate(options["shared"]):
                truth(f"shared[{i}]", value)
        if "training" in table:
            options["training"] = _training(table["training"])
        return RandomNetwork(
            _widths(widths), activation, group=whole_number("group", table.get("group", 1), 1), **options
        )


def _training(table: Any) -> GradientDescent:
    if not isinstance(table, dict):
        raise InputTypeError(f"training must be a table; got {brief(table)}; begin it with [random_network.training]")
    need_known_keys(table, TRAINING_KEYS, "training.")
    needed = {"points": "write points = [-1.0, 0.0, 1.0]", "targets": "write targets = [0.5, 0.0, -0.5]"}
    options: dict[str, Any] = {
        key: _rows(f"training.{key}", required(table, key, "training.", remedy)) for key, remedy in needed.items()
    }
    options["rate"] = real_number("training.rate", required(table, "rate", "training.", "write rate = 0.1"))
    options["steps"] = whole_number("training.steps", required(table, "steps", "training.", "write steps = 100"), 0)
    if "weights" in table:
        options["weights"] = real_numbers("training.weights", table["weights"])
    for key, known in (("layers", ("all", "last")), ("parametrisation", ("ntk", "standard"))):
        if key in table:
            options[key] = text_choice(f"training.{key}", table[key], known)
    with located("training"):
        return GradientDescent(**options)


def _rows(key: str, value: Any) -> Floats:
    """Numbers, or rows of numbers of equal length."""
    nested = isinstance(value, list) and any(isinstance(row, list) for row in value)
    return _matrix(key, value) if nested else real_numbers(key, value)


def _per_layer(key: str, value: Any, read: Callable[[str, Any], Any]) -> Any:
    return [read(f"{key}[{i}]", v) for i, v in enumerate(value)] if isinstance(value, list) else read(key, value)


def _density(key: str, value: Any) -> Density:
    if isinstance(value, dict):
        need_known_keys(value, ("name", "nu"), f"{key}.")
        name = required(value, "name", f"{key}.", 'write { name = "student-t", nu = 5.0 }')
        return Density(name, real_number(f"{key}.nu", value["nu"]) if "nu" in value else None)
    if not isinstance(value, str):
        raise InputTypeError(
            f'{key} must be the name of a density, or {{ name = "student-t", nu = 5.0 }}; got {brief(value)}'
        )
    if value == "student-t":
        raise InputError('nu must be given for student-t; write { name = "student-t", nu = 5.0 }')
    return Density(value)


def _matrix(key: str, value: Any) -> Floats:
    remedy = f"{key} is a matrix of rows, [[1.0, 2.0], [3.0, 4.0]]"
    listed = filled_list(key, value, "rows, one per output")
    rows = [real_numbers(f"{key}[{i}]", row, remedy) for i, row in enumerate(listed)]
    for i, row in enumerate(rows):
        if row.size != rows[0].size:
            raise InputError(
                f"{key} must have rows of equal length; row {i} has {row.size} entries, "
                f"row 0 has {rows[0].size}; give one row of weights per output"
            )
    return np.array(rows)


def _drawn(table: Mapping[str, Any]) -> Network:
    density = required(table, "density", "", 'write density = "normal"')
    text_choice("density", density, ["normal"])
    seed = whole_number("seed", required(table, "seed", "", "the weights define the theory: write seed = 1"), 0, 2**128)
    return Network.random(
        _widths(table["widths"]),
        rng=seed,
        weight_std=real_number("weight_std", table.get("weight_std", 1.0)),
        bias_std=real_number("bias_std", table.get("bias_std", 0.0)),
    )


def _stored(name: Any, folder: Path) -> tuple[list[Floats], list[Floats] | None]:
    """Weights and biases from the arrays weights_0, biases_0, weights_1, ... of an npz file."""
    if not isinstance(name, str):
        raise InputTypeError(f"network.weights_file must be a string; got {brief(name)}; name an .npz file")
    path = folder / name
    if not path.is_file():
        fault = "is no regular file" if path.exists() else "does not exist; paths are relative to the TOML file"
        raise InputError(f"network.weights_file: file {path} {fault}")
    with located("network.weights_file"):
        arrays = read_arrays(path)
    n_layers = sum(key.startswith("weights_") for key in arrays)
    with located(f"network.weights_file {path}"):
        expected = [f"{kind}_{i}" for i in range(n_layers) for kind in ("weights", "biases")]
        for key in arrays:
            if key not in expected:
                raise InputError(
                    f"array {key!r} is unknown; name them weights_0, biases_0, weights_1, ... without gaps"
                )
        has_biases = any(key.startswith("biases_") for key in arrays)
        for key in expected if has_biases else expected[::2]:
            if key not in arrays:
                raise InputError(f"array {key!r} is missing; give one per layer, or no biases at all")
        for key, array in arrays.items():
            if array.dtype.kind not in "fiu":
                raise InputTypeError(
                    f"array {key!r} must contain real numbers; got {array.dtype}; convert it to float64"
                )
        if not n_layers:
            raise InputError("contains no arrays; name them weights_0, biases_0, weights_1, ...")
        weights = [floats(f"weights_{i}", arrays[f"weights_{i}"], 2) for i in range(n_layers)]
        biases = [floats(f"biases_{i}", arrays[f"biases_{i}"], 1) for i in range(n_layers) if has_biases]
        _need_few_layers(weights)
    return weights, biases or None


def _run_settings(table: Mapping[str, Any], theory: Theory) -> dict[str, Any]:
    step = min(s.natural_step for s in theory.sources)
    n_times = 256 if theory.period is None else round(theory.period / step)
    n_times = whole_number("run.times", table.get("times", n_times), 1)
    if "dt" in table:
        step = positive("run.dt", real_number("run.dt", table["dt"]))
    elif theory.period is not None:
        step = theory.period / n_times
    return {
        "n_paths": whole_number("run.paths", table.get("paths", -(-200_000 // theory.group) * theory.group), 1),
        "n_times": n_times,
        "dt": step,
        "rng": whole_number("run.seed", table.get("seed", 1), 0, 2**128),
        "n_threads": whole_number("run.threads", table.get("threads", 0), 0, 4096),
        "precision": text_choice("run.precision", table.get("precision", "float32"), ("float32", "float64")),
    }
