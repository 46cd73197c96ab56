"""``nnqm compare`` and ``nnqm report``: runs side by side, and the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..pages.comparison import compare, compare_page
from ..pages.report import report_page
from ..report.analyse import analyse
from ..runs.run_file import load
from ..runs.writing import check_writable
from ..sampling.correlators import Correlators
from . import completion
from .application import app
from .continuing import PART
from .printing import AsJson, BadInput, input_errors, note, print_json, say
from .results import NoPositivity, filled, need_distinct

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
        found = compare(runs)
    if as_json:
        print_json(found.to_dict())
    else:
        say(str(found))
    if target is not None:
        with input_errors():
            compare_page(found).write(target)
        note(f"wrote {target}")


@app.command("report", short_help="Write the page of results: theory, physics, figures, provenance.")
def report_results(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT.nc...",
            help="Results of nnqm run, analyse or merge, or of nnqm.save; a page for each.",
            show_default=False,
            autocompletion=completion.results,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="HTML page of one file. [default: RESULT.html beside RESULT.nc]", show_default=False
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title of the pages. [default: name of the file]", show_default=False)
    ] = None,
    no_positivity: NoPositivity = False,
) -> None:
    """Write one HTML page about results: the theory in words, the table of its physics, figures, settings, provenance.

    The page works offline, in light and dark, on a phone and in print. The same results give the same page.
    """
    if output is not None and len(results) > 1:
        raise BadInput(f"--output is for the page of one file; got {len(results)} files; leave it out")
    stems = [file.name.removesuffix(PART).removesuffix(".nc") for file in results]
    with input_errors():
        targets = [file.parent / f"{stem}.html" for file, stem in zip(results, stems, strict=True)]
        targets = [check_writable(target) for target in (targets if output is None else [output])]
        for i, target in enumerate(targets):
            need_distinct(target, results[i], "RESULT.nc")
            if target in targets[:i]:
                raise InputError(f"two pages would be {target}; give the files one by one, with -o")
        runs = [filled(load(file)) for file in results]
    for run, stem, target in zip(runs, stems, targets, strict=True):
        with input_errors():
            found = analyse(run, positivity=not no_positivity)
            report_page(run, found, name=stem if title is None else title).write(target)
        note(f"wrote {target}")
