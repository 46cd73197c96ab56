"""``nnqm run``: sample a theory and print its physics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import _core
from .._arguments import choice, integer, positive
from ..files.theory_file import load_theory_file
from ..runs.simulation import Interrupted, simulate
from ..runs.writing import check_writable
from .application import app
from .printing import input_errors, progress_bar
from .results import NoPositivity, figure_target, finish, finish_interrupted, need_distinct

__all__: list[str] = []


@app.command(no_args_is_help=False, short_help="Sample a theory and print its physics.")
def run(
    theory: Annotated[
        str,
        typer.Argument(
            metavar="THEORY",
            help="A TOML file (docs/theory-file.md) or a built-in theory: oscillator, deep-tanh, three-inputs, "
            "random-tanh, anharmonic, double-well.",
            show_default=False,
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
            help="Type of the paths, float32 or float64; sums are float64. [default: float32]", show_default=False
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Figure file, .png, .pdf or .svg. [default: THEORY.png]", show_default=False),
    ] = None,
    no_figure: Annotated[bool, typer.Option("--no-figure", help="Draw nothing.")] = False,
    no_positivity: NoPositivity = False,
) -> None:
    """Sample a theory and print its physics.

    Options override the [run] table of the file. The results are written to THEORY.nc and a figure to THEORY.png in the
    current folder, where THEORY is the name of the theory. Ctrl-C ends the run within a second and saves the finished
    paths.
    """
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
        data = check_writable(f"{file.name}.nc" if output is None else output)
    drawing = figure_target(figure, no_figure, default=Path(f"{file.name}.png"))
    need_distinct(data, drawing, "--figure")
    need_distinct(data, Path(theory), "THEORY")
    # Imported before the run, so that Ctrl-C does not wait for the import.
    import h5netcdf  # noqa: F401
    import xarray  # noqa: F401

    try:
        with input_errors(), progress_bar(file.name, "paths/s") as progress:
            result = simulate(file.theory, **settings, progress=progress)
    except Interrupted as stop:
        finish_interrupted(stop, data, settings["n_paths"])
    finish(result, data, drawing, positivity=not no_positivity)
