"""The page of one run: the theory in words, provenance, the table of its physics, figures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import InputTypeError
from ..positivity.reflection import PositivityResult
from ..report.analyse import analyse
from ..report.table import HEADINGS, Group, Report, Row
from ..sampling.correlators import Correlators
from ..theories.network import Network
from ..theories.networks import RandomNetwork
from ..theories.source import Source
from ..theories.theory import Theory
from .facts import builtin_name, command_of, seed_of
from .page import FIGURE_SIZE, Cell, Page

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["report_page"]

# Longest text of the parameters of a source, in characters.
_LONGEST = 300

_GROUPS = {
    Group.SHAPE: "Distribution of x",
    Group.TWO_POINT: "Two-point function",
    Group.LEVELS: "Levels above the ground state",
    Group.COMMUTATOR: "Commutator, momentum, uncertainty",
    Group.POSITIVITY: "Reflection positivity",
    Group.CHAIN: "Correlations between and along the paths",
}


def report_page(run: Correlators, report: Report | None = None, *, name: str = "") -> Page:
    """The page of a run, complete in one file.

    Parameters
    ----------
    run : Correlators
        From ``simulate``, ``accumulate``, ``merge`` or ``load``.
    report : Report, optional
        ``analyse(run)``, which is made if there is none.
    name : str, optional
        Title of the page, for example the name of a file; by default the name of a built-in theory, or "Report of a
        run".

    Returns
    -------
    Page
        ``page.write("result.html")`` writes it. Figures need matplotlib; without it the page says so.

    Raises
    ------
    InputTypeError
        If the run or the report is none.

    Examples
    --------
    >>> run = nnqm.simulate(nnqm.harmonic_oscillator(), 2000, 32, 0.2, rng=1)
    >>> page = report_page(run, nnqm.analyse(run, positivity=False))
    >>> "<h1>oscillator</h1>" in page.html()
    True
    """
    if not isinstance(run, Correlators):
        raise InputTypeError(f"run must be a run of simulate, accumulate or load; got {type(run).__name__}")
    if report is None:
        report = analyse(run)
    elif not isinstance(report, Report):
        raise InputTypeError(f"report must be what nnqm.analyse returns; got {type(report).__name__}")
    builtin = builtin_name(run.theory)
    page = Page(name or builtin or "Report of a run", report.title)
    page.heading("Theory")
    _tell_theory(page, run, builtin)
    page.heading("Physics")
    _tell_physics(page, report)
    page.heading("Figures")
    _draw(page, run, report)
    if report.notes:
        page.heading("Notes")
        page.points(report.notes)
    page.heading("Settings and provenance")
    _tell_provenance(page, run)
    return page


def _tell_theory(page: Page, run: Correlators, builtin: str | None) -> None:
    theory = run.theory
    if theory is None:
        page.text(
            f"The paths come from elsewhere; nnqm knows no theory of them. Channels: {', '.join(run.channels)}. "
            f"Constants: hbar = {run.hbar:g}, mass = {run.mass:g}."
        )
        return
    page.text(_sentence(theory) + (f" It is the built-in theory {builtin}." if builtin else ""))
    rows = []
    first = 1
    for source in theory.sources:
        last = first + source.n_inputs - 1
        inputs = f"y{first}" if last == first else f"y{first} to y{last}"
        about = (inspect.getdoc(type(source)) or type(source).__name__).splitlines()[0]
        rows.append([inputs if theory.n_inputs > 1 else "y", str(source.kind), about, _parameters(source)])
        first = last + 1
    page.table(["input", "kind", "process", "parameters"], rows, caption="Seed processes, the inputs of the theory.")


def _sentence(theory: Theory) -> str:
    """The theory in words."""
    constants = f"hbar = {theory.hbar:g}, mass = {theory.mass:g}."
    paths = "closed paths of period " + f"{theory.period:g}" if theory.period is not None else "open paths"
    network = theory.network
    if network is None:
        return f"x(t) = y(t): the paths are those of the seed process itself, without a network; {paths}; {constants}"
    widths = "-".join(map(str, network.widths))
    kinds = ", ".join(dict.fromkeys(network.activations[:-1] or network.activations))
    last = network.activations[-1]
    what = f"a network f of widths {widths} with activation {kinds}" + (
        f" and {last} at the output" if last != "identity" and len(network.activations) > 1 else ""
    )
    if isinstance(network, Network):
        numbers = sum(w.size for w in network.weights) + sum(b.size for b in network.biases)
        weights = f"its {numbers} weights and biases are fixed"
    else:
        weights = _ensemble(network)
    return f"x(t) = f(y(t)) with {what}; {weights}; {paths}; {constants}"


def _ensemble(network: RandomNetwork) -> str:
    laws = ", ".join(dict.fromkeys(map(str, network.weights)))
    each = f"every group of {network.group} paths" if network.group > 1 else "every path"
    words = f"its weights are random ({laws}) and drawn for {each}, so that the theory is an ensemble of networks"
    if network.shared is not None:
        words += "; parameters are split at t = 0"
    if network.training is not None:
        words += f"; each draw is trained by {network.training.steps} steps of gradient descent"
    return words


def _parameters(source: Source) -> str:
    """The parameters of a source as its representation names them."""
    told = repr(source)
    inner = told[told.find("(") + 1 : -1] if told.endswith(")") else told
    # One number in a tuple of Python is a number to a reader.
    inner = re.sub(r"\(([^(),]+),\)", r"\1", inner)
    return inner if len(inner) <= _LONGEST else f"{inner[:_LONGEST]} ..."


def _tell_physics(page: Page, report: Report) -> None:
    page.text(
        "Each number has its statistical error in the first bracket and a systematic error, of an extrapolation or a "
        "truncation, in the second. The column exact has the exact value of the estimator in its row, at its dt. The "
        "pull is (measured - exact) / error."
    )
    # Without a theory there are no exact values, and no pulls.
    last = len(HEADINGS) - 1
    shown = [i for i in range(len(HEADINGS)) if i in (0, last) or any(row.cells[i] for row in report.rows)]
    lines: list[Sequence[Cell] | str] = []
    group = None
    for row in report.rows:
        if row.group != group:
            group = row.group
            lines.append(_GROUPS[group])
        cells: list[Cell] = [*row.cells[:last], list(_judgement(row))]
        lines.append([cells[i] for i in shown])
    page.table([HEADINGS[i] for i in shown], lines)


def _judgement(row: Row) -> Iterator[str]:
    """The last cell: badges of the verdict and the caveat, remarks and the reason as text."""
    if row.verdict is not None:
        yield row.verdict
    remarks = ", ".join(row.remarks)
    if remarks:
        yield f", {remarks}" if row.verdict is not None else remarks
    if row.caveat is not None:
        yield ", "
        yield row.caveat
    if row.reason:
        yield f": {row.reason}"


def _draw(page: Page, run: Correlators, report: Report) -> None:
    if find_spec("matplotlib") is None:
        page.text("There are no figures: pip install 'nnqm[plot]' gets matplotlib, which draws them.")
        return
    from matplotlib.figure import Figure

    for caption, alt, draw in _pictures(run, report):
        figure = Figure(figsize=FIGURE_SIZE, layout="constrained")
        draw(figure.add_subplot())
        page.figure(figure, caption, alt)


def _pictures(run: Correlators, report: Report) -> Iterator[tuple[str, str, Callable[[Axes], Any]]]:
    """Caption, description and function of each figure that the run allows."""
    from .. import plot

    name, exact = report.details.get("channel", run.channels[0]), report.details.get("exact", False)

    def numbers(group: Group) -> str:
        known = [f"{row.quantity} = {row.estimate}" for row in report.rows if row.group is group and row.estimate]
        return ", ".join(known) or "no value"

    if run.uniform and "lags" in run.sums:
        yield (
            f"Connected two-point function of {name}, measured and, where it is known, exact.",
            f"Two-point function against the lag. {numbers(Group.TWO_POINT)}.",
            lambda ax: plot.correlator(run, ax, channel=name, exact=exact),
        )
        if run.period is None:
            yield (
                f"Effective energies of {name}, whose plateau is the first gap.",
                f"Effective energy against the lag. {numbers(Group.LEVELS)}.",
                lambda ax: plot.effective_energies(run, ax, channel=name, exact=exact),
            )
    if any(row.group is Group.LEVELS for row in report.rows):
        yield (
            "Levels above the ground state with their errors and verdicts.",
            f"Levels. {numbers(Group.LEVELS)}.",
            lambda ax: plot.levels(report, ax),
        )
    if run.uniform and "increments" in run.sums:
        yield (
            "Commutator [x,p]/(i hbar) at finite lags, which tends to 1 for a particle in a potential.",
            f"Commutator against the lag. {numbers(Group.COMMUTATOR)}.",
            lambda ax: plot.commutator(run, ax, channel=name, exact=exact),
        )
    found = report.details.get("positivity")
    if isinstance(found, PositivityResult):
        yield (
            "Reflection positivity: eigenvalues of the reflection matrix, and the witness on other paths.",
            f"Verdict: {found.verdict}, p = {found.p_value:.2g}; the norm of the witness is {found.value}.",
            lambda ax: plot.reflection(found, ax),
        )
    if run.theory is None or not run.keys or name not in run.theory.channels:
        return
    if run.theory.stationary:
        yield (
            f"Density of {name}: histogram of paths, and |psi_0|^2 where it is known.",
            f"Histogram of paths. {numbers(Group.SHAPE)}.",
            lambda ax: plot.density(run, ax, channel=name),
        )
    yield (
        f"The first paths {name}(t) of the run.",
        f"Three sample paths against the time from {run.times[0]:g} to {run.times[-1]:g}.",
        lambda ax: plot.paths(run, ax, channel=name),
    )


def _tell_provenance(page: Page, run: Correlators) -> None:
    """How the run was made, and how its bits are made again."""
    held = int(run.block_paths.sum())
    grid = f"{run.n_times} from {run.times[0]:g} to {run.times[-1]:g}" + (
        f", dt = {run.dt:.10g}" if run.uniform else ""
    )
    rows = [
        ["paths", f"{held:,}" + (f" of {run.n_paths:,}" if held < run.n_paths else "")],
        ["times", grid],
        ["independent blocks", f"{len(run.block_paths)}" + ("" if held else ", empty")],
        ["precision", f"paths in {run.precision}, sums in float64"],
        ["network", "evaluated by a table of polynomials" if run.compiled else "evaluated layer by layer"],
        ["keys of random numbers", ", ".join(map(str, run.keys)) or "none: paths from elsewhere"],
        ["seeds", ", ".join(str(seed) for key in run.keys if (seed := seed_of(key)) is not None) or "not known"],
        ["nnqm", f"version {run.version}, random numbers of map version {run.random_map_version}"],
        ["instruction set", run.level],
    ]
    if run.theory is None or run.theory.network is None:
        rows = [row for row in rows if row[0] != "network"]
    if run.theory is None:
        rows = [row for row in rows if row[0] != "seeds"]
    if run.replicas:
        rows.append(["replicas", ", ".join(name for name, _ in run.replicas)])
    page.table(["setting", "value"], rows)
    command = command_of(run)
    if command is not None:
        page.text("This command gives the same bits again, for any number of threads and workers:")
        page.code(command)
    elif run.theory is not None and run.keys:
        page.text(
            "The file of results contains the theory and the key, so that nnqm extend RESULT.nc continues the run with "
            "more paths. The same theory, settings and seed give the same bits again."
        )
