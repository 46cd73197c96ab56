"""``nnqm analyse``: print the physics of given paths or results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .._arguments import integer, positive
from ..files.path_file import PathFile, read_path_file
from ..files.path_files import PathFiles, in_parts, natural_order
from ..runs.writing import check_writable
from ..sampling.accumulator import accumulate
from ..sampling.arrays import agreed_step
from ..sampling.correlators import Correlators
from .application import app
from .printing import AsJson, BadInput, input_errors
from .results import NoPositivity, figure_target, filled, finish, need_distinct

__all__: list[str] = []


@app.command("analyse", short_help="Print the physics of given paths or results.")
def analyse_paths(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS...",
            help="Paths as .npy, .npz, NetCDF or text, axes (path, time, channel), (path, time) or (time,), or as "
            "their names say; several files or a folder, in natural order; or results that nnqm wrote.",
            show_default=False,
        ),
    ],
    dt: Annotated[
        float | None, typer.Option(help="Time step of the paths. [default: that of the file]", show_default=False)
    ] = None,
    array: Annotated[
        str | None, typer.Option(help="Name of the array; needed if the file contains several.", show_default=False)
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(help="Names of the channels, for example x,p. [default: x, or x1,x2,...]", show_default=False),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes in their order, for example time,channel or time,path.", show_default=False),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights of the paths: a file with a number for each, or the name of an array beside the paths. "
            "[default: none]",
            show_default=False,
        ),
    ] = None,
    replicas: Annotated[bool, typer.Option("--replicas", help="Each file is an independent chain.")] = False,
    periodic: Annotated[bool, typer.Option("--periodic", help="The paths close: lags wrap.")] = False,
    hbar: Annotated[float | None, typer.Option(help="Planck's constant. [default: 1]", show_default=False)] = None,
    mass: Annotated[float | None, typer.Option(help="Mass of the particle. [default: 1]", show_default=False)] = None,
    blocks: Annotated[
        int | None,
        typer.Option(help="Independent blocks for the errors. [default: at most 128]", show_default=False),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads, 0 for all. [default: 0]", show_default=False)] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="NetCDF file of the results. [default: none]", show_default=False),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Figure file, .png, .pdf or .svg. [default: none]", show_default=False)
    ] = None,
    no_positivity: NoPositivity = False,
    as_json: AsJson = False,
) -> None:
    """Print the physics of paths from any simulation, or of results that nnqm wrote.

    Many paths are used unchanged. A few long ones are cut along time into independent pieces. Several files are
    successive parts of one chain of paths, or a few long trajectories.
    """
    given = {
        "--dt": dt, "--array": array, "--names": names, "--hbar": hbar,
        "--mass": mass, "--blocks": blocks, "--threads": threads, "--axes": axes, "--periodic": periodic or None,
        "--weights": weights, "--replicas": replicas or None,
    }  # fmt: skip
    with input_errors():
        data = None if output is None else check_writable(output)
    drawing = figure_target(figure, figure is None, default=Path())
    for path in paths:
        need_distinct(data, path, "PATHS")
        need_distinct(drawing, path, "PATHS")
    need_distinct(data, drawing, "--figure")
    order = None if axes is None else words(axes)
    with input_errors():
        several = len(paths) > 1 or paths[0].is_dir() or replicas or weights is not None
        if not several and not in_parts(paths[0], array):
            loaded: PathFile | Correlators | PathFiles = read_path_file(paths[0], array, order)
        else:
            files = sorted(paths, key=natural_order)
            loaded = PathFiles(files, array=array, axes=order, weights=_weights(weights), replicas=replicas)
            for path in loaded.files:
                need_distinct(data, path, "PATHS")
                need_distinct(drawing, path, "PATHS")
    values: Any = None
    if isinstance(loaded, Correlators):
        for option, value in given.items():
            if value is not None:
                raise BadInput(
                    f"{option} is for paths, but {paths[0]} contains results, which include it; leave it out"
                )
        result = filled(loaded)
    else:
        if dt is None and loaded.dt is None:
            raise BadInput(f"--dt is missing: give the time step of the paths in {paths[0]}, for example --dt 0.1")
        with input_errors():
            # The test of positivity takes paths of equal weight.
            values = loaded.paths if isinstance(loaded, PathFile) else None if weights else loaded.first()
            result = accumulate(
                values if isinstance(loaded, PathFile) else loaded,
                agreed_step(None if dt is None else positive("--dt", dt), loaded.dt),
                names=None if names is None else words(names),
                period=periodic or None,
                hbar=positive("--hbar", 1.0 if hbar is None else hbar),
                mass=positive("--mass", 1.0 if mass is None else mass),
                n_blocks=None if blocks is None else integer("--blocks", blocks, 2),
                n_threads=integer("--threads", 0 if threads is None else threads, 0, 4096),
            )
    finish(result, data, drawing, positivity=not no_positivity, paths=values, as_json=as_json)


def _weights(given: str | None) -> Any:
    """The numbers of a file of weights, or the name of an array beside the paths."""
    if given is None or not Path(given).is_file():
        return given
    found = read_path_file(Path(given))
    if isinstance(found, Correlators):
        raise BadInput(f"--weights must be a file of numbers; {given} contains results of nnqm")
    return found.paths


def words(listed: str) -> list[str]:
    """The words of an option, between commas."""
    return [word.strip() for word in listed.split(",")]
