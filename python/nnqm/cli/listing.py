"""``nnqm list``: the names that theory files and the command line know."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from .._arguments import choice
from ..files.tables import keys_of_sources
from ..theories.source import sources_by_kind
from .application import app
from .printing import AsJson, input_errors, print_json, print_table

__all__: list[str] = []

THEORIES = {
    "oscillator": "the harmonic oscillator, omega = mass = hbar = 1: no network",
    "deep-tanh": "a fixed 1-4-3-1 tanh network on one Ornstein-Uhlenbeck process",
    "three-inputs": "a fixed 3-8-1 tanh network on three equal processes: levels with multiplicities 3, 6, 10",
    "random-tanh": "a 1-16-1 tanh network with Gaussian random weights, eight paths per draw: an ensemble",
    "anharmonic": "the ground state of V = x^2/2 + x^4",
    "double-well": "the ground state of V = (x^2 - 1.5^2)^2: tunnelling",
}

KERNELS = {
    "wiener": "min(s, t) sigma^2: Brownian motion from 0",
    "brownian-bridge": "sigma^2 (min(s, t) - s t/duration): Brownian motion from 0 to 0",
    "ornstein-uhlenbeck": "sigma^2/(2 omega) exp(-omega |s - t|); with beta on a circle",
    "squared-exponential": "variance exp(-(s - t)^2/(2 length^2)): smooth, not reflection positive",
    "matern": "variance, length and smoothness nu; nu = 1/2 is the Ornstein-Uhlenbeck process",
    "rational-quadratic": "variance (1 + (s - t)^2/(2 alpha length^2))^-alpha",
    "root-exponential": "variance exp(-sqrt(|s - t|/length)): rougher than Brownian motion",
}

ACTIVATIONS = {
    "identity": "z",
    "tanh": "tanh z",
    "relu": "max(z, 0)",
    "sin": "sin z",
    "cos": "cos z",
    "erf": "erf z",
    "gelu": "z Phi(z), exact, with the normal distribution Phi",
    "sigmoid": "1/(1 + exp(-z))",
    "softplus": "log(1 + exp z)",
}

DENSITIES = {
    "gaussian": "normal",
    "uniform": "constant between -sqrt(3) and sqrt(3)",
    "laplace": "exp(-sqrt(2) |z|)/sqrt(2)",
    "rademacher": "+1 or -1 with equal probability",
    "student-t": 'Student\'s t: { name = "student-t", nu = 5.0 }; no moments from nu on',
    "cauchy": "Student's t of nu = 1: no mean and no variance",
}

RUN_SETTINGS = {
    "paths": "independent paths",
    "times": "points of a path",
    "dt": "time step; paths are exact for every dt",
    "seed": "of the paths; equal seeds give equal results",
    "threads": "0 for all; they do not change the results",
    "precision": "float32 or float64, of the paths; sums are float64",
}


class Part(StrEnum):
    """Parts of the list."""

    THEORIES = "theories"
    SOURCES = "sources"
    KERNELS = "kernels"
    ACTIVATIONS = "activations"
    DENSITIES = "densities"
    RUN = "run"


_WHERE = {
    Part.THEORIES: "built-in theories: nnqm run NAME",
    Part.SOURCES: "kinds of seed processes, with their keys: [[source]] kind = NAME",
    Part.KERNELS: 'kernels of kind = "karhunen-loeve": [[source]] kernel = NAME',
    Part.ACTIVATIONS: "activations: [network] or [random_network] activation = NAME",
    Part.DENSITIES: "densities of random weights, of variance 1: [random_network] weights = NAME",
    Part.RUN: "keys of [run], which options of the command line override",
}


@app.command("list", short_help="List theories, kinds of sources, activations, densities.")
def list_names(
    part: Annotated[
        str | None,
        typer.Argument(
            metavar="[PART]",
            help="A part of the list. [default: all]",
            show_default=False,
            autocompletion=lambda incomplete: [one.value for one in Part if one.startswith(incomplete)],
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the names that theory files know, with one line about each.

    The parts are theories, sources, kernels, activations, densities and run (docs/theory-file.md).
    """
    with input_errors():
        wanted = list(Part) if part is None else [Part(choice("PART", part, [one.value for one in Part]))]
    chosen = {one: names_of(one) for one in wanted}
    if as_json:
        keys = {kind: list(names) for kind, names in keys_of_sources().items()}
        print_json(
            {
                one.value: [
                    {"name": name, "text": text} | ({"keys": keys[name]} if one is Part.SOURCES else {})
                    for name, text in names.items()
                ]
                for one, names in chosen.items()
            }
        )
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for one, names in chosen.items():
        table.add_row(Text(one.value, style="bold"), Text(_WHERE[one], style="bold"))
        for name, text in names.items():
            about = f"{text} ({', '.join(keys_of_sources()[name])})" if one is Part.SOURCES else text
            table.add_row(Text(f"  {name}"), Text(about))
    print_table(table)


def names_of(part: Part) -> Mapping[str, str]:
    """The names of a part of the list, each with its line."""
    if part is Part.SOURCES:
        kinds = sources_by_kind()
        return {kind: _first_sentence(kinds[kind]) for kind in keys_of_sources()}
    known = {
        Part.THEORIES: THEORIES,
        Part.KERNELS: KERNELS,
        Part.ACTIVATIONS: ACTIVATIONS,
        Part.DENSITIES: DENSITIES,
        Part.RUN: RUN_SETTINGS,
    }
    return known[part]


def _first_sentence(cls: type) -> str:
    """The first line of the documentation of a class."""
    return (inspect.getdoc(cls) or cls.__name__).splitlines()[0].rstrip(".")
