"""The command line ``nnqm``: run a theory, analyse paths, check axioms, show the installation."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn, cast

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from . import _core
from ._arguments import choice, integer, positive
from .errors import InputError, InputTypeError
from .files.path_file import read_path_file
from .files.run_file import save
from .files.theory_file import load_theory_file
from .files.writing import check_writable
from .properties import check
from .report.analyse import analyse
from .report.table import HEADINGS, Report
from .sampling.arrays import agreed_step
from .sampling.block_sums import accumulate
from .sampling.correlators import Correlators
from .sampling.simulation import Interrupted, simulate

__all__ = ["app", "main"]

# Largest pull due to chance, in errors; among a dozen rows of one table a larger one occurs once in two hundred runs.
_LARGE_PULL = 3.5
# Errors of usage, of click or of the copy of click inside newer versions of typer.
_UsageError: type[Exception] = importlib.import_module(typer.BadParameter.__module__).UsageError

app = typer.Typer(
    name="nnqm",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _BadInput(Exception):
    """Error in the user's input; the message is printed as one line."""


@contextmanager
def _input() -> Iterator[None]:
    """Convert input errors of the package to one printed line; other errors keep their traceback."""
    try:
        yield
    except (InputError, InputTypeError) as error:
        raise _BadInput(str(error)) from error


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with code 0, with 2 for bad input, or with 130 after Ctrl-C.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the name of the program; by default the arguments of the process.
    """
    listed = None if arguments is None else list(arguments)
    try:
        code = app(listed, prog_name="nnqm", standalone_mode=False)
    except _BadInput as error:
        _fail(str(error))
    except _UsageError as error:
        _fail(f"{cast(Any, error).format_message()} See nnqm --help.")
    except typer.Abort:
        print("nnqm: interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    print("nnqm: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        print(f"nnqm {_core.build_info()['version']}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _nnqm(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Euclidean-time quantum mechanics as neural networks: computes the physics of a theory, with error bars."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command(no_args_is_help=False)
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
        typer.Option(help="Time step. [default: 0.2 / largest omega, 0.4 hbar / second gap]", show_default=False),
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
) -> None:
    """Sample a theory and print its physics.

    Options override the [run] table of the file. The results are written to THEORY.nc and a figure to THEORY.png in the
    current folder, where THEORY is the name of the theory. Ctrl-C ends the run within a second and saves the finished
    paths.
    """
    with _input():
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
    drawing = _figure_target(figure, no_figure, default=Path(f"{file.name}.png"))
    _distinct(data, drawing, "--figure")
    _distinct(data, Path(theory), "THEORY")
    # Imported before the run, so that Ctrl-C does not wait for the import.
    import h5netcdf  # noqa: F401
    import xarray  # noqa: F401

    try:
        with _input(), _progress(file.name) as progress:
            result = simulate(file.theory, **settings, progress=progress)
    except Interrupted as stop:
        _finish_interrupted(stop, data, settings["n_paths"])
    with _input():
        save(result, data)
    report = analyse(result)
    _print_report(report)
    _note(f"wrote {data}")
    _draw(result, report, drawing)


@app.command("analyse")
def analyse_paths(
    paths: Annotated[
        Path,
        typer.Argument(
            metavar="PATHS",
            help="Paths as .npy, .npz, NetCDF or text, axes (path, time, channel), (path, time) or (time,), or as "
            "their names say; or results that nnqm wrote.",
            show_default=False,
        ),
    ],
    dt: Annotated[
        float | None, typer.Option(help="Time step of the paths. [default: that of the file]", show_default=False)
    ] = None,
    array: Annotated[
        str | None, typer.Option(help="Name of the array, if the file contains several.", show_default=False)
    ] = None,
    names: Annotated[
        str | None, typer.Option(help="Names of the channels, for example x,p.", show_default=False)
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes in their order, for example time,channel or time,path.", show_default=False),
    ] = None,
    periodic: Annotated[bool, typer.Option("--periodic", help="The paths close: lags wrap.")] = False,
    hbar: Annotated[float | None, typer.Option(help="Planck's constant. [default: 1]", show_default=False)] = None,
    mass: Annotated[float | None, typer.Option(help="Mass of the particle. [default: 1]", show_default=False)] = None,
    blocks: Annotated[
        int | None,
        typer.Option(help="Independent blocks for the errors. [default: at most 128]", show_default=False),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads, 0 for all. [default: 0]", show_default=False)] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="NetCDF file of the results.", show_default=False)
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Figure file, .png, .pdf or .svg.", show_default=False)] = None,
) -> None:
    """Print the physics of paths from any simulation, or of results that nnqm wrote.

    Many paths are used unchanged. A few long ones are cut along time into independent pieces.
    """
    given = {
        "--dt": dt, "--array": array, "--names": names, "--hbar": hbar,
        "--mass": mass, "--blocks": blocks, "--threads": threads, "--axes": axes, "--periodic": periodic or None,
    }  # fmt: skip
    with _input():
        data = None if output is None else check_writable(output)
    drawing = _figure_target(figure, figure is None, default=Path())
    _distinct(data, paths, "PATHS")
    _distinct(drawing, paths, "PATHS")
    _distinct(data, drawing, "--figure")
    with _input():
        loaded = read_path_file(paths, array, None if axes is None else _words(axes))
    values: Any = None
    if isinstance(loaded, Correlators):
        for option, value in given.items():
            if value is not None:
                raise _BadInput(f"{option} is for paths, but {paths} contains results, which include it; leave it out")
        result = _filled(loaded)
    else:
        values = loaded.paths
        if dt is None and loaded.dt is None:
            raise _BadInput(f"--dt is missing: give the time step of the paths in {paths}, for example --dt 0.1")
        with _input():
            result = accumulate(
                values,
                agreed_step(None if dt is None else positive("--dt", dt), loaded.dt),
                names=None if names is None else _words(names),
                period=periodic or None,
                hbar=positive("--hbar", 1.0 if hbar is None else hbar),
                mass=positive("--mass", 1.0 if mass is None else mass),
                n_blocks=None if blocks is None else integer("--blocks", blocks, 2),
                n_threads=integer("--threads", 0 if threads is None else threads, 0, 4096),
            )
    if data is not None:
        with _input():
            save(result, data)
    report = analyse(result, paths=values)
    _print_report(report)
    if data is not None:
        _note(f"wrote {data}")
    _draw(result, report, drawing)


@app.command("check")
def check_theory(
    theory: Annotated[
        str,
        typer.Argument(
            metavar="THEORY", help="A TOML file (docs/theory-file.md) or a built-in theory.", show_default=False
        ),
    ],
    paths: Annotated[int, typer.Option(help="Number of paths of a test, if one is needed.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Seed; equal seeds give equal results.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads, 0 for all; they do not change the results.")] = 0,
) -> None:
    """Check the axioms of Euclidean quantum mechanics for a theory, and print a verdict and a reason for each.

    They are mean-square continuity, a finite two-point function, stationarity, the Markov property and reflection
    positivity.
    """
    with _input():
        found = check(
            load_theory_file(theory).theory,
            n_paths=integer("--paths", paths, 1000),
            rng=integer("--seed", seed, 0, 2**128),
            n_threads=integer("--threads", threads, 0, 4096),
        )
    print(found)


@app.command()
def info() -> None:
    """Print the properties of this installation: version, compiler, instruction set, threads."""
    build = _core.build_info()
    lines = {
        "nnqm": build["version"],
        "compiler": build["compiler"],
        "instruction set": f"{build['level']} in use; available: {', '.join(build['levels'])}",
        "threads": f"{build['max_threads']} by default; this machine has {os.cpu_count()} processors",
        "OpenMP": "yes" if build["openmp"] else "no: one thread only",
        "random numbers": f"Philox4x32-10, map version {_core.random_map_version}",
        "figures": "yes" if _has_matplotlib() else "no: pip install 'nnqm[plot]' adds them",
        "NumPy": np.__version__,
        "Python": sys.version.split()[0],
    }
    for name, value in lines.items():
        print(f"{name + ':':<17}{value}")


def _has_matplotlib() -> bool:
    try:
        return find_spec("matplotlib") is not None
    except ImportError:
        return False


def _words(listed: str) -> list[str]:
    """The words of an option, between commas."""
    return [word.strip() for word in listed.split(",")]


def _figure_target(figure: Path | None, no_figure: bool, default: Path) -> Path | None:
    """Path of the figure, checked before any work, or None for no figure."""
    if figure is not None and no_figure:
        raise _BadInput("--figure and --no-figure exclude each other; give one of them")
    if no_figure:
        return None
    target = default if figure is None else figure
    if _has_matplotlib():
        from .plot import check_figure_file

        with _input():
            check_figure_file(target)
    return target


def _distinct(first: Path | None, second: Path | None, name: str) -> None:
    if first is not None and second is not None and first.resolve() == second.resolve():
        raise _BadInput(f"the output {first} is also {name}; give another file name")


def _draw(result: Correlators, report: Report, target: Path | None) -> None:
    if target is None:
        return
    if not _has_matplotlib():
        _note("no figure: pip install 'nnqm[plot]' gets it")
        return
    from .plot import save_figure

    save_figure(result, report, target)
    _note(f"wrote {target}")


def _finish_interrupted(stop: Interrupted, data: Path, wanted: int) -> NoReturn:
    """Save the paths of a stopped run, print their number and exit with code 130."""
    partial = stop.partial
    if partial is None:
        _note("interrupted before any path was done; nothing is written")
        raise typer.Exit(130)
    with _input():
        save(partial, data)
    held = int(partial.block_paths.sum())
    _note(
        f"interrupted: {data} holds {held} of {wanted} paths; "
        f"nnqm.extend(nnqm.load({str(data)!r}), {wanted}) completes it"
    )
    if np.count_nonzero(partial.block_paths) > 1:
        _print_report(analyse(_filled(partial)))
    raise typer.Exit(130)


def _filled(run: Correlators) -> Correlators:
    """A run without its empty blocks, which a stopped run did not reach."""
    filled = run.block_paths > 0
    return run if filled.all() else replace(run, sums={name: array[filled] for name, array in run.sums.items()})


def _note(message: str) -> None:
    print(message, file=sys.stderr)


@contextmanager
def _progress(name: str) -> Iterator[Callable[[int, int], None] | None]:
    """Show a progress bar on standard error if it is a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    # The run itself draws the bar, not a thread, so that Ctrl-C never interrupts half a drawing.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task(name, total=None, rate="")

        def tell(done: int, wanted: int) -> None:
            seconds = bar.tasks[0].elapsed or 0.0
            rate = f"{done / seconds:,.0f} paths/s" if seconds > 0 else ""
            bar.update(task, completed=done, total=wanted, rate=rate, refresh=True)

        yield tell


def _print_report(report: Report) -> None:
    console = Console(highlight=False, markup=False)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, heading in enumerate(HEADINGS):
        # In a narrow terminal text is broken between words; numbers are never broken.
        number = i in (1, 2, 3, 4)
        longest = max((len(word) for row in report.rows for word in f"{row.cells[i]} {row.group}".split()), default=0)
        width = None if number else longest + 2
        table.add_column(heading, justify="right" if number else "left", no_wrap=number, min_width=width)
    group = None
    for row in report.rows:
        if row.group != group:
            if group is not None:
                table.add_section()
            table.add_row(Text(row.group, style="bold"))
            group = row.group
        cells = [Text(cell) for cell in row.cells]
        cells[0] = Text("  ") + cells[0]
        cells[4].stylize("bold red" if row.pull is not None and abs(row.pull) > _LARGE_PULL else "")
        cells[5].stylize("green" if row.sound else "yellow")
        table.add_row(*cells)
    needed = Measurement.get(console, console.options.update(max_width=100_000), table)
    # A file or a pipe has no width; the table is as wide as its longest line.
    console.width = max(console.width, needed.minimum) if console.is_terminal else needed.maximum
    with console.capture() as capture:
        if report.title:
            console.print(Text(report.title, style="bold"), soft_wrap=True)
        console.print(table)
        for note in report.notes:
            console.print(Text(f"note: {note}"), soft_wrap=not console.is_terminal)
    print("\n".join(line.rstrip() for line in capture.get().splitlines()))
