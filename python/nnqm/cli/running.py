"""``nnqm run``: sample a theory and print its physics."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .. import _core
from .._arguments import choice, integer, positive, random_key
from ..errors import InputError
from ..files.theory_file import load_theory_file
from ..progress import Progress
from ..runs.checkpoints import differences
from ..runs.simulation import extend, planned, simulate
from ..runs.writing import beside, check_writable
from ..sampling.correlators import Correlators
from ..sampling.run_settings import RunSettings, time_grid
from ..theories.theory import Theory
from . import completion
from .application import app
from .continuing import PART, carry_out
from .printing import AsJson, input_errors
from .results import NoPositivity, figure_target, need_distinct, results_in
from .workers import Dask, Mpi, Workers, executor_of

__all__: list[str] = []


@app.command("run", short_help="Sample a theory and print its physics.")
def run(
    context: typer.Context,
    theory: Annotated[
        str,
        typer.Argument(
            metavar="THEORY",
            help="A TOML file (docs/theory-file.md) or a built-in theory: oscillator, deep-tanh, three-inputs, "
            "random-tanh, anharmonic, double-well. nnqm list describes them.",
            show_default=False,
            autocompletion=completion.theories,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="NetCDF file of the results. [default: THEORY.nc]", show_default=False),
    ] = None,
    paths: Annotated[int | None, typer.Option(help="Independent paths. [default: 200000]", show_default=False)] = None,
    times: Annotated[int | None, typer.Option(help="Points of a path. [default: 256]", show_default=False)] = None,
    dt: Annotated[
        float | None,
        typer.Option(
            help="Time step. [default: 0.2 / largest omega for oscillators, 0.4 hbar / second gap for potentials]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed; equal seeds give equal results. [default: 1]", show_default=False)
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="Threads, 0 for all; they do not change the results. [default: 0]", show_default=False),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            help="Type of the paths, float32 or float64; sums are float64. [default: float32]",
            show_default=False,
            autocompletion=completion.precisions,
        ),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="Compute only the blocks A to B - 1, for nnqm merge; the results are THEORY.A-B.nc, and there is no "
            "figure. [default: all]",
            show_default=False,
        ),
    ] = None,
    n_blocks: Annotated[
        int | None,
        typer.Option(
            "--n-blocks", help="Independent blocks for the errors. [default: at most 128]", show_default=False
        ),
    ] = None,
    workers: Workers = None,
    dask: Dask = None,
    mpi: Mpi = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Figure file, .png, .pdf or .svg. [default: THEORY.png]", show_default=False),
    ] = None,
    no_figure: Annotated[bool, typer.Option("--no-figure", help="Draw nothing.")] = False,
    no_positivity: NoPositivity = False,
    as_json: AsJson = False,
) -> None:
    """Sample a theory and print its physics.

    Options override the [run] table of the file. The results are written to THEORY.nc and a figure to THEORY.png in the
    current folder, where THEORY is the name of the theory. Until they are complete they are kept in THEORY.nc.part,
    from which the same command goes on after Ctrl-C or a crash.
    """
    executor = executor_of(context, workers, dask, mpi)
    with input_errors():
        file = load_theory_file(theory)
        settings = dict(file.run)
        # Errors need two blocks, and a block is at least one tile.
        fewest = 2 * _core.tile_paths
        settings["n_paths"] = integer("--paths", settings["n_paths"] if paths is None else paths, fewest)
        settings["n_times"] = integer("--times", settings["n_times"] if times is None else times, 2, 2**33)
        if dt is not None:
            settings["dt"] = positive("--dt", dt)
        elif file.theory.period is not None:
            settings["dt"] = file.theory.period / settings["n_times"]
        settings["rng"] = integer("--seed", settings["rng"] if seed is None else seed, 0, 2**128)
        settings["n_threads"] = integer("--threads", settings["n_threads"] if threads is None else threads, 0, 4096)
        settings["precision"] = choice(
            "--precision", settings["precision"] if precision is None else precision, ("float32", "float64")
        )
        name = file.name
        if n_blocks is not None:
            settings["n_blocks"] = integer("--n-blocks", n_blocks, 2)
        if blocks is not None:
            settings["blocks"] = block_range(blocks)
            name += f".{blocks.replace(':', '-')}"
        data = check_writable(f"{name}.nc" if output is None else output)
    drawing = figure_target(figure, no_figure or (blocks is not None and figure is None), default=Path(f"{name}.png"))
    need_distinct(data, drawing, "--figure")
    need_distinct(data, Path(theory), "THEORY")
    part = beside(data, PART)
    found = same_runs((data, part), file.theory, settings)
    start = found.get(data)

    def work(progress: Progress) -> Correlators:
        if start is not None:
            return extend(
                start,
                settings["n_paths"],
                n_threads=settings["n_threads"],
                progress=progress,
                executor=executor,
                checkpoint=part,
            )
        return simulate(file.theory, **settings, progress=progress, executor=executor, checkpoint=part)

    wanted = settings["n_paths"]
    carry_out(work, file.name, data, found, wanted, drawing, positivity=not no_positivity, as_json=as_json)


def block_range(text: str) -> range:
    """The blocks A:B of an option."""
    found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise InputError(f"--blocks must be A:B with A < B, for example 0:16; got {text}")
    return range(int(found[1]), int(found[2]))


def same_runs(files: Iterable[Path | None], theory: Theory, settings: dict[str, Any]) -> dict[Path, Correlators]:
    """The results in files that are of this run, or of one with fewer paths."""
    there = {file: found for file in files if file is not None and (found := results_in(file)) is not None}
    if not there:
        return {}
    with input_errors():
        grid = time_grid(settings["n_times"], settings.get("dt"), None, theory)
        key = random_key(settings["rng"])
        asked, held = planned(theory, settings["n_paths"], grid, key, None, cast(RunSettings, settings))
    return {
        file: found
        for file, found in there.items()
        if found.n_paths <= asked.n_paths and not differences(found, asked, held)
    }
