"""``nnqm extend`` and ``nnqm merge``, and how a run of the command line goes on from its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .._arguments import integer
from ..errors import InputError
from ..progress import Progress, ProgressBar
from ..report.table import Report
from ..runs.checkpoints import blocks_of, differences
from ..runs.run_file import load
from ..runs.simulation import Interrupted, extend
from ..runs.writing import beside, check_writable
from ..sampling.correlators import Correlators, merge_named
from . import completion
from .application import app
from .printing import AsJson, input_errors, note, warnings_as_notes
from .results import (
    NoPositivity,
    figure_target,
    finish,
    finish_interrupted,
    keep,
    need_distinct,
    paths_of,
    results_in,
    show,
)
from .workers import Dask, Mpi, Workers, executor_of

__all__: list[str] = []

# Ending of the file that stands for results until they are complete.
PART = ".part"

Figure = Annotated[
    Path | None, typer.Option(help="Figure file, .png, .pdf or .svg. [default: none]", show_default=False)
]


@app.command("extend", short_help="Complete an interrupted run, or continue one to more paths.")
def extend_results(
    context: typer.Context,
    results: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT.nc",
            help="Results of nnqm run, complete or not.",
            show_default=False,
            autocompletion=completion.results,
        ),
    ],
    paths: Annotated[
        int | None, typer.Option(help="Paths in total. [default: as the run was asked for]", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads, 0 for all; they do not change the results.")] = 0,
    workers: Workers = None,
    dask: Dask = None,
    mpi: Mpi = False,
    figure: Figure = None,
    no_positivity: NoPositivity = False,
    as_json: AsJson = False,
) -> None:
    """Complete an interrupted run, or continue one to more paths, and print its physics.

    The results have the bits of one run of that many paths. They replace those in RESULT.nc once they are complete;
    until then RESULT.nc.part keeps them.
    """
    executor = executor_of(context, workers, dask, mpi)
    named = results.parent / results.name.removesuffix(PART)
    with input_errors():
        data = check_writable(named)
        part = beside(data, PART)
        if part is None:
            raise InputError(f"file {data} is not a regular file; give the name of results")
        found = {part: load(part)} if part.exists() else {data: load(data)}
        # The run that was interrupted may be another one than that in the file.
        if (before := results_in(data)) is not None and not differences(before, next(iter(found.values()))):
            found[data] = before
        most = max(run.n_paths for run in found.values())
        wanted = most if paths is None else integer("--paths", paths, most)
        integer("--threads", threads, 0, 4096)
    start = farthest(found)[1]
    drawing = figure_target(figure, figure is None, default=Path())
    need_distinct(data, drawing, "--figure")

    def work(progress: Progress) -> Correlators:
        return extend(start, wanted, n_threads=threads, progress=progress, executor=executor, checkpoint=part)

    carry_out(work, data.stem, data, found, wanted, drawing, positivity=not no_positivity, as_json=as_json)


@app.command("merge", short_help="Put results of parts of a run, or of several seeds, together.")
def merge_results(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT.nc...",
            help="Results of nnqm run --blocks, or of other seeds.",
            show_default=False,
            autocompletion=completion.results,
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="NetCDF file of all results.", show_default=False)],
    figure: Figure = None,
    no_positivity: NoPositivity = False,
    as_json: AsJson = False,
) -> None:
    """Put the results of parts of one run, or of runs of several seeds, together and print their physics.

    Parts of one run, in any order, give the bits of the whole run.
    """
    with input_errors():
        data = check_writable(output)
    drawing = figure_target(figure, figure is None, default=Path())
    need_distinct(data, drawing, "--figure")
    parts: dict[str, Correlators] = {}
    with input_errors():
        for file in results:
            if str(file) in parts:
                raise InputError(f"{file} is given twice; name each file once")
            parts[str(file)] = load(file)
        merged = merge_named(parts)
    if len(merged.keys) == 1:
        held, wanted = int(merged.block_paths.sum()), paths_of(merged)
        if held < wanted:
            note(f"{data} holds {held} of {wanted} paths: parts were interrupted; nnqm extend {data} completes them")
        if len(merged.block_paths) < merged.n_blocks:
            there = blocks_of(merged)
            note(f"{data} holds the blocks {there.start}:{there.stop} of 0:{merged.n_blocks}; the others are missing")
    finish(merged, data, drawing, positivity=not no_positivity, as_json=as_json)


def carry_out(
    work: Callable[[Progress], Correlators],
    name: str,
    data: Path,
    found: dict[Path, Correlators],
    wanted: int,
    drawing: Path | None,
    *,
    positivity: bool,
    as_json: bool,
) -> None:
    """Do the work of a run, whose unfinished results a file beside the output keeps, and print its physics.

    ``found`` are the results of the run that files have already. The work goes on from them to ``wanted`` paths.
    """
    part = beside(data, PART)
    if found:
        _tell(*farthest(found), wanted)
    try:
        with input_errors(), ProgressBar(name, "paths/s") as progress, warnings_as_notes():
            result = work(progress)
    except Interrupted as stop:
        finish_interrupted(stop, data, part, as_json=as_json)
    if np.count_nonzero(result.block_paths) > 1:
        finish(result, data, drawing, positivity=positivity, part=part, as_json=as_json)
        return
    with input_errors():
        keep(result, data, part)
    why = "errors need two blocks, so that there is no report"
    note(f"wrote {data}; {why}")
    if as_json:
        show(Report("", (), (why,), {}), result, data, as_json=True)


def farthest(found: dict[Path, Correlators]) -> tuple[Path, Correlators]:
    """The file with the most paths, and its results."""
    return max(found.items(), key=lambda item: int(item[1].block_paths.sum()))


def _tell(file: Path, run: Correlators, n_paths: int) -> None:
    """Say how far the results in a file are."""
    held, wanted = int(run.block_paths.sum()), paths_of(replace(run, n_paths=n_paths))
    if held == wanted:
        note(f"{file} holds all {held} paths")
    elif held > 0:
        note(f"goes on from {held} paths of {file}; {wanted} are wanted")
