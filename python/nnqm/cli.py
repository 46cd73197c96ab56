"""The command line ``nnqm``: run a theory, analyse paths, check axioms, show the installation."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn, TextIO, cast

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
from .report.table import HEADINGS, Report, Row
from .sampling.accumulator import accumulate
from .sampling.arrays import agreed_step
from .sampling.correlators import Correlators
from .sampling.simulation import Interrupted, simulate
from .verdict import Verdict

__all__ = ["app", "main"]

# Largest pull due to chance, in errors; among a dozen rows of one table a larger one occurs once in two hundred runs.
_LARGE_PULL = 3.5
# Columns of numbers in the table.
_NUMBERS = (1, 2, 3, 4)
# Verdicts that contradict a theory or an exact value.
_ALARMS = {Verdict.DEVIATES, Verdict.VIOLATED}
# Errors of usage, of click or of the copy of click inside newer versions of typer.
_UsageError: type[Exception] = importlib.import_module(typer.BadParameter.__module__).UsageError

app = typer.Typer(
    name="nnqm",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_NoPositivity = Annotated[
    bool, typer.Option("--no-positivity", help="Leave out the test of reflection positivity, which takes seconds.")
]


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
        sys.stdout.flush()
    except BrokenPipeError:
        _silence(sys.stdout)
        sys.exit(0)
    except _BadInput as error:
        _fail(str(error))
    except _UsageError as error:
        _fail(f"{cast(Any, error).format_message().rstrip('.')}. See nnqm --help.")
    except typer.Abort:
        _say("nnqm: interrupted", sys.stderr)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    _say("nnqm: " + " ".join(message.split()), sys.stderr)
    sys.exit(2)


def _say(text: str, stream: TextIO | None = None) -> None:
    """Print text. A reader that has ended, as in ``nnqm run oscillator | head -1``, does not stop the command."""
    target = sys.stdout if stream is None else stream
    try:
        print(text, file=target, flush=True)
    except BrokenPipeError:
        _silence(target)


def _silence(stream: TextIO) -> None:
    """Send further output nowhere: the interpreter writes the rest when it ends, and would fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _version(asked: bool) -> None:
    if asked:
        _say(f"nnqm {_core.build_info()['version']}")
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
        _say(context.get_help())


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
    no_positivity: _NoPositivity = False,
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
        with _input(), _progress(file.name, "paths/s") as progress:
            result = simulate(file.theory, **settings, progress=progress)
    except Interrupted as stop:
        _finish_interrupted(stop, data, settings["n_paths"])
    _finish(result, data, drawing, positivity=not no_positivity)


def _finish(
    result: Correlators,
    data: Path | None,
    drawing: Path | None,
    *,
    positivity: bool,
    paths: np.ndarray[Any, Any] | None = None,
) -> None:
    """Save, analyse, print and draw. If the results cannot be saved, their report is printed all the same."""
    fault: InputError | None = None
    if data is not None:
        try:
            save(result, data)
        except InputError as error:
            fault = error
    saved = data is not None and fault is None
    try:
        with _input(), _progress("analysis", "") as progress:
            report = analyse(result, paths=paths, positivity=positivity, progress=progress)
        _print_report(report)
        if saved:
            _note(f"wrote {data}")
        _draw(result, report, drawing)
    except KeyboardInterrupt:
        _note(f"interrupted: {data} holds the results; nnqm analyse {data} prints them" if saved else "interrupted")
        raise typer.Exit(130) from None
    if fault is not None:
        raise _BadInput(str(fault)) from fault


@app.command("analyse", short_help="Print the physics of given paths or results.")
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
    no_positivity: _NoPositivity = False,
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
    _finish(result, data, drawing, positivity=not no_positivity, paths=values)


@app.command("check", short_help="Check the axioms for a theory.")
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
    _say(str(found))


@app.command(short_help="Print facts about this installation.")
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
    _say("\n".join(f"{name + ':':<17}{value}" for name, value in lines.items()))


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
    if first is not None and second is not None and os.path.realpath(first) == os.path.realpath(second):
        raise _BadInput(f"the output {first} is also {name}; give another file name")


def _draw(result: Correlators, report: Report, target: Path | None) -> None:
    if target is None:
        return
    if not _has_matplotlib():
        _note("no figure: pip install 'nnqm[plot]' gets it")
        return
    from .plot import save_figure

    with _input():
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
        with _input():
            report = analyse(_filled(partial))
        _print_report(report)
    raise typer.Exit(130)


def _filled(run: Correlators) -> Correlators:
    """A run without its empty blocks, which a stopped run did not reach."""
    filled = run.block_paths > 0
    return run if filled.all() else replace(run, sums={name: array[filled] for name, array in run.sums.items()})


def _note(message: str) -> None:
    _say(message, sys.stderr)


@contextmanager
def _progress(name: str, unit: str) -> Iterator[Callable[[int, int], None] | None]:
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
            rate = f"{done / seconds:,.0f} {unit}" if unit and seconds > 0 else ""
            bar.update(task, completed=done, total=wanted, rate=rate, refresh=True)

        yield tell


def _print_report(report: Report) -> None:
    console = Console(highlight=False, markup=False)
    table = _table(report)
    if not console.is_terminal:
        # A file or a pipe has no width; the table is as wide as its longest line.
        console.width = Measurement.get(console, console.options.update(max_width=100_000), table).maximum
    with console.capture() as capture:
        console.print(table)
    if not _whole(capture.get(), report):
        with console.capture() as capture:
            for line in _listed(report, console.width):
                console.print(line, soft_wrap=True)
    with console.capture() as above:
        if report.title:
            console.print(Text(report.title, style="bold"), soft_wrap=not console.is_terminal)
    with console.capture() as below:
        for note in report.notes:
            console.print(Text(f"note: {note}"), soft_wrap=not console.is_terminal)
    text = above.get() + capture.get() + below.get()
    _say("\n".join(line.rstrip() for line in text.splitlines()))


def _table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, heading in enumerate(HEADINGS):
        # In a narrow terminal text is broken between words; numbers are never broken.
        number = i in _NUMBERS
        table.add_column(heading, justify="right" if number else "left", no_wrap=number)
    group = None
    for row in report.rows:
        if row.group != group:
            if group is not None:
                table.add_section()
            table.add_row(Text(row.group, style="bold"))
            group = row.group
        first, *numbers, last = _cells(row)
        table.add_row(Text("  ") + first, *numbers, last)
    return table


def _cells(row: Row) -> list[Text]:
    """The cells of a row, coloured where the terminal has colours."""
    cells = [Text(cell) for cell in row.cells]
    if row.pull is not None and abs(row.pull) > _LARGE_PULL:
        cells[4].stylize("bold red")
    if row.sound:
        cells[5].stylize("green")
    elif {row.verdict, row.caveat} & _ALARMS:
        cells[5].stylize("bold red")
    return cells


def _whole(text: str, report: Report) -> bool:
    """Whether a table shows all words of a report, none of them cut."""
    plain = Text.from_ansi(text).plain
    return "\u2026" not in plain and all(
        word in plain for row in report.rows for cell in row.cells for word in cell.split()
    )


def _listed(report: Report, width: int) -> Iterator[Text]:
    """The rows one below the other, for a terminal too narrow for the table; no number is broken."""
    group = None
    for row in report.rows:
        if row.group != group:
            yield Text(row.group, style="bold")
            group = row.group
        quantity, *numbers, last = _cells(row)
        yield from _filled_lines(quantity.split(" "), 2, width)
        labelled = zip(("measured", "exact", "dt -> 0", "pull"), numbers, strict=True)
        parts = [Text(f"{label} ") + number for label, number in labelled if number.plain]
        for i, part in enumerate(parts, start=1):
            part.append("," if i < len(parts) else ":" if last.plain else "")
        yield from _filled_lines([*parts, *last.split(" ")], 4, width)


def _filled_lines(parts: Iterable[Text], indent: int, width: int) -> Iterator[Text]:
    """Lines of parts, of at most some width if the parts allow."""
    line = Text(" " * indent)
    for part in parts:
        if line.plain.strip() and len(line) + 1 + len(part) > width:
            yield line
            line = Text(" " * indent)
        if line.plain.strip():
            line.append(" ")
        line.append_text(part)
    if line.plain.strip():
        yield line
