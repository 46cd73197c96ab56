"""``nnqm extend`` and ``nnqm merge``, and how a run of the command line goes on from its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from .._arguments import integer
from ..errors import InputError
from ..runs.checkpoints import differences
from ..runs.run_file import load, save
from ..runs.simulation import Interrupted, extend
from ..runs.writing import beside, check_writable
from ..sampling.correlators import Correlators, merge_named
from ..sampling.run_settings import Progress
from .application import app
from .printing import input_errors, note, progress_bar, warnings_as_notes
from .results import NoPositivity, figure_target, finish, finish_interrupted, need_distinct, paths_of
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
        typer.Argument(metavar="RESULT.nc", help="Results of nnqm run, complete or not.", show_default=False),
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
) -> None:
    """Complete an interrupted run, or continue one to more paths, and print its physics.

    The results have the bits of one run of that many paths. They replace those in RESULT.nc once they are complete;
    until then RESULT.nc.part keeps them.
    """
    executor = executor_of(context, workers, dask, mpi)
    named = results.with_name(results.name.removesuffix(PART))
    with input_errors():
        data = check_writable(named)
        part = beside(data, PART)
        if part is None:
            raise InputError(f"file {data} is not a regular file; give the name of results")
        start = None if part.exists() and not data.exists() else load(data)
        ahead = load(part) if part.exists() else None
    if ahead is not None and (start is None or differences(start, ahead, blocks_of(ahead))):
        # The run that was interrupted is another one than that in the file.
        start = ahead
    assert start is not None
    most = start.n_paths if ahead is None else max(start.n_paths, ahead.n_paths)
    with input_errors():
        wanted = most if paths is None else integer("--paths", paths, most)
        integer("--threads", threads, 0, 4096)
    drawing = figure_target(figure, figure is None, default=Path())
    need_distinct(data, drawing, "--figure")

    def work(progress: Progress | None) -> Correlators:
        return extend(start, wanted, n_threads=threads, progress=progress, executor=executor, checkpoint=part)

    carry_out(work, data.stem, data, start, wanted, drawing, positivity=not no_positivity)


@app.command("merge", short_help="Put results of parts of a run, or of several seeds, together.")
def merge_results(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT.nc...", help="Results of nnqm run --blocks, or of other seeds.", show_default=False
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="NetCDF file of all results.", show_default=False)],
    figure: Figure = None,
    no_positivity: NoPositivity = False,
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
    finish(merged, data, drawing, positivity=not no_positivity)


def carry_out(
    work: Callable[[Progress | None], Correlators],
    name: str,
    data: Path,
    start: Correlators | None,
    wanted: int,
    drawing: Path | None,
    *,
    positivity: bool,
) -> None:
    """Do the work of a run, whose unfinished results a file beside the output keeps, and print its physics.

    ``start`` are the results that there are already; the work goes on from them or from the unfinished ones to
    ``wanted`` paths.
    """
    part = beside(data, PART)
    ahead = None if part is None else results_in(part)
    if start is not None and (ahead is None or ahead.block_paths.sum() < start.block_paths.sum()):
        _tell(start, data, wanted)
    elif ahead is not None and part is not None:
        _tell(ahead, part, wanted)
    try:
        with input_errors(), progress_bar(name, "paths/s") as progress, warnings_as_notes():
            result = work(progress)
    except Interrupted as stop:
        finish_interrupted(stop, data, part)
    if np.count_nonzero(result.block_paths) > 1:
        finish(result, data, drawing, positivity=positivity, part=part)
        return
    with input_errors():
        save(result, data)
    if part is not None:
        part.unlink(missing_ok=True)
    note(f"wrote {data}; errors need two blocks, so that there is no report")


def results_in(file: Path) -> Correlators | None:
    """The results in a file, None if there are none: the file is new, a device, or something else."""
    if not os.path.isfile(file):
        return None
    try:
        return load(file)
    except InputError:
        return None


def blocks_of(run: Correlators) -> range:
    return range(run.first_block, run.first_block + len(run.block_paths))


def _tell(run: Correlators, file: Path, n_paths: int) -> None:
    """Say how far the results in a file are."""
    held, wanted = int(run.block_paths.sum()), paths_of(replace(run, n_paths=n_paths))
    if held == wanted:
        note(f"{file} holds all {held} paths")
    elif held > 0:
        note(f"goes on from {held} paths of {file}; {wanted} are wanted")
