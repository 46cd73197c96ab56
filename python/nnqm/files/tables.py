"""Known keys of the tables of a theory file, and their checks; each message names the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arguments import nearest_hint
from ..errors import InputError, InputTypeError
from ..theories.source import sources_by_kind
from ..theories.table import brief

__all__: list[str] = []

TOP_KEYS = ("hbar", "mass", "source", "network", "random_network", "run")

KERNEL_KEYS = ("omega", "sigma", "beta", "duration", "length", "variance", "nu", "alpha")

EXPANSION_KEYS = ("kernel", "interval", "modes", "density", *KERNEL_KEYS)

KERNEL_NAMES = (
    *("wiener", "brownian_bridge", "ornstein_uhlenbeck", "squared_exponential", "matern", "rational_quadratic"),
    "root_exponential",
)

INLINE_KEYS = ("weights", "biases")

STORED_KEYS = ("weights_file",)

DENSITY_KEYS = ("widths", "density", "seed", "weight_std", "bias_std")

NETWORK_KEYS = (*INLINE_KEYS, *STORED_KEYS, *DENSITY_KEYS, "activation")

RANDOM_KEYS = ("widths", "activation", "weights", "biases", "weight_std", "bias_std", "group", "shared", "training")

TRAINING_KEYS = ("points", "targets", "rate", "steps", "weights", "layers", "parametrisation")

RUN_KEYS = ("paths", "times", "dt", "seed", "threads", "precision")


def keys_of_sources() -> dict[str, tuple[str, ...]]:
    """Keys beside kind, for each kind of source that theory files can contain."""
    known = {kind: source.table_keys() for kind, source in sources_by_kind().items()}
    return {kind: keys for kind, keys in known.items() if keys} | {"karhunen-loeve": EXPANSION_KEYS}


def source_keys() -> tuple[str, ...]:
    """Keys of all kinds of sources."""
    return tuple(dict.fromkeys(("kind", *(key for keys in keys_of_sources().values() for key in keys))))


def _keys_of_tables() -> dict[str, tuple[str, ...]]:
    return {
        "the top of the file, above all tables": TOP_KEYS,
        "[[source]]": source_keys(),
        "[network]": NETWORK_KEYS,
        "[random_network]": RANDOM_KEYS,
        "[random_network.training]": TRAINING_KEYS,
        "[run]": RUN_KEYS,
    }


def need_known_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    """Raise InputError if a table contains an unknown key; the message suggests the right table or key."""
    for key in table:
        if key in known:
            continue
        homes = [where for where, keys in _keys_of_tables().items() if key in keys]
        belongs = f"; it belongs to {' or '.join(homes)}" if homes else ""
        hint = nearest_hint(key, known, cutoff=1.0) or belongs or nearest_hint(key, known) or "; remove it"
        raise InputError(f"key {place}{key} is unknown; known are {', '.join(known)}{hint}")


def sub_table(data: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    """A table of the file with checked keys; empty if it is missing."""
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise InputTypeError(f"{name} must be a table; got {brief(table)}; begin it with [{name}]")
    need_known_keys(table, known, f"{name}.")
    return table
