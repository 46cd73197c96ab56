"""``nnqm compare`` and ``nnqm report``: runs side by side, and the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..pages.comparison import compare, compare_page
from ..progress import ProgressBar
from ..runs.run_file import load
from ..runs.writing import check_writable
from ..sampling.correlators import Correlators
from . import completion
from .application import app
from .printing import AsJson, input_errors, note, print_json, say
from .results import filled, need_distinct

__all__: list[str] = []


@app.command("compare", short_help="Print the physics of several results side by side.")
def compare_results(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="A.nc B.nc...",
            help="Results of nnqm run, analyse or merge; the first one is the reference.",
            show_default=False,
            autocompletion=completion.results,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="HTML page of the comparison. [default: none]", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print spectra, weights, kurtosis, commutators, variance and uncertainty of several results side by side.

    Pulls are differences from the first results, in units of the combined error. Results that share random numbers
    (runs of equal seeds) have correlated errors and get no pull.
    """
    runs: dict[str, Correlators] = {}
    with input_errors():
        target = None if output is None else check_writable(output)
        for file in results:
            need_distinct(target, file, "A.nc B.nc...")
            if str(file) in runs:
                raise InputError(f"{file} is given twice; name each file once")
            runs[str(file)] = filled(load(file))
        if len(runs) < 2:
            raise InputError(f"nnqm compare needs two files; got {results[0]}; nnqm analyse prints one alone")
        with ProgressBar("comparison") as progress:
            found = compare(runs, progress=progress)
    if as_json:
        print_json(found.to_dict())
    else:
        say(str(found))
    if target is not None:
        with input_errors():
            compare_page(found).write(target)
        note(f"wrote {target}")
