"""Checks of TOML tables key by key; each message names the key."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

from .._arguments import Floats, choice, floats, integer
from ..errors import InputError, InputTypeError

__all__: list[str] = []

TOP_KEYS = ("hbar", "mass", "source", "network", "random_network", "run")

KERNEL_KEYS = ("omega", "sigma", "beta", "duration", "length", "variance", "nu", "alpha")

KEYS_OF_SOURCES = {
    "ornstein-uhlenbeck": ("omega", "sigma", "beta"),
    "ground-state": ("potential", "beta"),
    "times": ("reflected",),
    "karhunen-loeve": ("kernel", "interval", "modes", "density", *KERNEL_KEYS),
}

SOURCE_KEYS = tuple(dict.fromkeys(("kind", *(key for keys in KEYS_OF_SOURCES.values() for key in keys))))

KERNEL_NAMES = (
    *("wiener", "brownian_bridge", "ornstein_uhlenbeck", "squared_exponential", "matern", "rational_quadratic"),
    "root_exponential",
)

INLINE_KEYS = ("weights", "biases")

STORED_KEYS = ("weights_file",)

DENSITY_KEYS = ("widths", "density", "seed", "weight_std", "bias_std")

NETWORK_KEYS = (*INLINE_KEYS, *STORED_KEYS, *DENSITY_KEYS, "activation")

RANDOM_KEYS = ("widths", "activation", "weights", "biases", "weight_std", "bias_std", "group", "shared")

RUN_KEYS = ("paths", "times", "dt", "seed", "threads", "precision")

_TABLES = {
    "the top of the file": TOP_KEYS,
    "[[source]]": SOURCE_KEYS,
    "[network]": NETWORK_KEYS,
    "[random_network]": RANDOM_KEYS,
    "[run]": RUN_KEYS,
}


def nearest_hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def need_known_keys(table: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    for key in table:
        if key in known:
            continue
        homes = [where for where, keys in _TABLES.items() if key in keys]
        hint = f"; it belongs to {' or '.join(homes)}" if homes else nearest_hint(key, known) or "; remove it"
        raise InputError(f"key {place}{key} is unknown; known are {', '.join(known)}{hint}")


def sub_table(data: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    table = data.get(name, {})
    if not isinstance(table, dict):
        raise InputTypeError(f"{name} must be a table; got {brief(table)}; begin it with [{name}]")
    need_known_keys(table, known, f"{name}.")
    return table


def brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def required(table: Mapping[str, Any], key: str, place: str, remedy: str) -> Any:
    if key not in table:
        raise InputError(f"key {place}{key} is missing; {remedy}")
    return table[key]


def real_number(key: str, value: Any) -> float:
    # NumPy would take "1.5" and true for numbers; a file should say what it means.
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputTypeError(f"{key} must be a number; got {brief(value)}; write it without quotes")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{key} must be a double-precision number; got {brief(value)}") from None
    if not math.isfinite(number):
        raise InputError(f"{key} must be finite; got {number}")
    return number


def real_numbers(key: str, value: Any) -> Floats:
    if not isinstance(value, list):
        raise InputTypeError(f"{key} must be an array of numbers; got {brief(value)}; write it as [1.0, 2.0]")
    return floats(key, [real_number(f"{key}[{i}]", v) for i, v in enumerate(value)], 1)


def whole_number(key: str, value: Any, minimum: int, maximum: int = 2**62) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputTypeError(f"{key} must be an integer; got {brief(value)}; write it as 42")
    return integer(key, value, minimum, maximum)


def text_choice(key: str, value: Any, options: Iterable[str]) -> str:
    if not isinstance(value, str):
        raise InputTypeError(f"{key} must be a string; got {brief(value)}; choose from {', '.join(sorted(options))}")
    return choice(key, value, options)


def filled_list(key: str, value: Any, of: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputTypeError(f"{key} must be an array of {of}; got {brief(value)}")
    if not value:
        raise InputError(f"{key} must have at least one entry; got []")
    return value


def reason_of(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())
