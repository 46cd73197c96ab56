"""The end of a command: results are saved, analysed, printed and drawn."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import numpy as np
import typer

from ..errors import InputError
from ..pages.facts import settings_of
from ..report.analyse import analyse
from ..report.table import Report
from ..runs.run_file import load, save
from ..runs.simulation import Interrupted
from ..runs.slices import paths_wanted
from ..runs.writing import move_onto
from ..sampling.correlators import Correlators
from .interruptions import ended_by
from .printing import BadInput, input_errors, note, print_json, print_report

__all__: list[str] = []


NoPositivity = Annotated[
    bool, typer.Option("--no-positivity", help="Leave out the test of reflection positivity, which takes seconds.")
]


def finish(
    result: Correlators,
    data: Path | None,
    drawing: Path | None,
    *,
    positivity: bool,
    as_json: bool,
    paths: np.ndarray[Any, Any] | None = None,
    part: Path | None = None,
) -> None:
    """Save, analyse, print and draw. If the results cannot be saved, their report is printed all the same.

    ``part`` is the file that kept the results until they were saved.
    """
    fault: InputError | None = None
    if data is not None:
        try:
            keep(result, data, part)
        except InputError as error:
            fault = error
    saved = data is not None and fault is None
    try:
        with input_errors():
            report = analyse(result, paths=paths, positivity=positivity)
        show(report, result, data if saved else None, as_json=as_json)
        if saved:
            note(f"wrote {data}")
        _draw(result, report, drawing)
    except KeyboardInterrupt:
        note(f"interrupted: {data} holds the results; nnqm analyse {data} prints them" if saved else "interrupted")
        raise typer.Exit(130) from None
    if fault is not None:
        raise BadInput(str(fault)) from fault


def show(report: Report, run: Correlators, file: Path | None, *, as_json: bool) -> None:
    """Print the report of a run as a table, or as JSON with the settings of the run and the file that has it."""
    if as_json:
        print_json({"file": None if file is None else str(file), "run": settings_of(run), **report.to_dict()})
    else:
        print_report(report)


def keep(result: Correlators, data: Path, part: Path | None) -> None:
    """Save results in their file; the file that kept them until now takes its place if it has all of them."""
    if part is not None and results_in(part) == result:
        try:
            move_onto(part, data)
        except InputError:
            # Another process that had the same results may have moved them.
            save(result, data)
    else:
        save(result, data)
        if part is not None:
            part.unlink(missing_ok=True)


def results_in(file: Path) -> Correlators | None:
    """The results in a file, None if there are none: the file is new, a device, or something else."""
    if not os.path.isfile(file):
        return None
    try:
        return load(file)
    except InputError:
        return None


def finish_interrupted(stop: Interrupted, data: Path, part: Path | None, *, as_json: bool) -> NoReturn:
    """Say how many paths of a stopped run are kept and where, and exit with the code of the signal.

    A stopped run is in ``part``; without one, where the output is a device or a pipe, it is written there.
    """
    partial = stop.partial
    if partial is None:
        note("interrupted before any path was done; nothing is written")
        raise typer.Exit(130)
    if part is None:
        with input_errors():
            save(partial, data)
    count = f"{int(partial.block_paths.sum())} of {paths_of(partial)} paths"
    if part is None or not part.exists():
        note(f"interrupted: {f'no file holds the {count}' if part else f'{data} holds {count}'}")
    else:
        quoted = shlex.quote(str(data))
        note(f"interrupted: {part} holds {count}; the same command goes on from them, and so does nnqm extend {quoted}")
    # A batch queue leaves no time for a report.
    if ended_by() is None and np.count_nonzero(partial.block_paths) > 1:
        with input_errors():
            report = analyse(filled(partial))
        show(report, partial, part if part is not None and part.exists() else data, as_json=as_json)
    raise typer.Exit(130)


def paths_of(run: Correlators) -> int:
    """Paths that the blocks of a run hold once they are complete."""
    return int(paths_wanted(run, run.first_block + np.arange(len(run.block_paths))).sum())


def filled(run: Correlators) -> Correlators:
    """A run without its empty blocks, which a stopped run did not reach."""
    filled = run.block_paths > 0
    return run if filled.all() else replace(run, sums={name: array[filled] for name, array in run.sums.items()})


def figure_target(figure: Path | None, no_figure: bool, default: Path) -> Path | None:
    """Path of the figure, checked before any work, or None for no figure."""
    if figure is not None and no_figure:
        raise BadInput("--figure and --no-figure exclude each other; give one of them")
    if no_figure:
        return None
    target = default if figure is None else figure
    if has_matplotlib():
        from ..plot import check_figure_file

        with input_errors():
            check_figure_file(target)
    return target


def has_matplotlib() -> bool:
    try:
        return find_spec("matplotlib") is not None
    except ImportError:
        return False


def need_distinct(first: Path | None, second: Path | None, name: str) -> None:
    if first is not None and second is not None and os.path.realpath(first) == os.path.realpath(second):
        raise BadInput(f"the output {first} is also {name}; give another file name")


def _draw(result: Correlators, report: Report, target: Path | None) -> None:
    if target is None:
        return
    if not has_matplotlib():
        note("no figure: pip install 'nnqm[plot]' gets it")
        return
    from ..plot import save_overview

    with input_errors():
        save_overview(result, report, target)
    note(f"wrote {target}")
