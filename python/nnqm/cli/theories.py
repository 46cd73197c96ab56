"""``nnqm check`` and ``nnqm info``: the axioms of a theory, and facts about this installation."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import numpy as np
import typer

from .. import _core
from .._arguments import integer
from ..files.theory_file import load_theory_file
from ..properties import check
from . import completion
from .application import app
from .printing import AsJson, input_errors, print_json, say
from .results import has_matplotlib

__all__: list[str] = []


@app.command("check", short_help="Check the axioms for a theory.")
def check_theory(
    theory: Annotated[
        str,
        typer.Argument(
            metavar="THEORY",
            help="A TOML file (docs/theory-file.md) or a built-in theory.",
            show_default=False,
            autocompletion=completion.theories,
        ),
    ],
    paths: Annotated[int, typer.Option(help="Number of paths of a test, if one is needed.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed; equal seeds give equal results.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads, 0 for all; they do not change the results.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Check the axioms of Euclidean quantum mechanics for a theory, and print a verdict and a reason for each.

    They are mean-square continuity, a finite two-point function, stationarity, the Markov property and reflection
    positivity.
    """
    with input_errors():
        found = check(
            load_theory_file(theory).theory,
            n_paths=integer("--paths", paths, 1000),
            rng=integer("--seed", seed, 0, 2**128),
            n_threads=integer("--threads", threads, 0, 4096),
        )
    if as_json:
        print_json({"theory": theory, **found.to_dict()})
    else:
        say(str(found))


@app.command("info", short_help="Print facts about this installation.")
def info(as_json: AsJson = False) -> None:
    """Print the properties of this installation: version, compiler, instruction set, threads."""
    build = _core.build_info()
    if as_json:
        print_json(
            {
                "compiler": build["compiler"],
                "instruction_set": build["level"],
                "instruction_sets": list(build["levels"]),
                "threads": build["max_threads"],
                "processors": os.cpu_count(),
                "openmp": bool(build["openmp"]),
                "random_map_version": _core.random_map_version,
                "figures": has_matplotlib(),
                "numpy": np.__version__,
                "python": sys.version.split()[0],
            }
        )
        return
    lines = {
        "nnqm": build["version"],
        "compiler": build["compiler"],
        "instruction set": f"{build['level']} in use; available: {', '.join(build['levels'])}",
        "threads": f"{build['max_threads']} by default; this machine has {os.cpu_count()} processors",
        "OpenMP": "yes" if build["openmp"] else "no: one thread only",
        "random numbers": f"Philox4x32-10, map version {_core.random_map_version}",
        "figures": "yes" if has_matplotlib() else "no: pip install 'nnqm[plot]' adds them",
        "NumPy": np.__version__,
        "Python": sys.version.split()[0],
    }
    say("\n".join(f"{name + ':':<17}{value}" for name, value in lines.items()))
