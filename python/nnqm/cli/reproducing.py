"""``nnqm reproduce``: claims of papers, computed again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from .._arguments import integer
from ..reproduce.registry import claims, papers
from ..reproduce.report_page import write_reproduction
from ..reproduce.reproduction import Files, Reproduction, count_kept, reproduce
from ..verdict import Verdict
from .application import app
from .printing import AsJson, input_errors, note, print_json, print_table, say, warnings_as_notes

__all__: list[str] = []


@app.command("reproduce", short_help="Compute the claims of published papers again.")
def reproduce_papers(
    paper: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PAPER]...",
            help="Number at arXiv or short name of a paper, or name of a claim (--list). [default: all]",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: less than a minute on two cores.")] = False,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder of the page and the tables, or a file .html."),
    ] = Path("reproduction"),
    seed: Annotated[int, typer.Option(help="Seed; equal seeds give equal numbers.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads, 0 for all; they do not change the results.")] = 0,
    names: Annotated[bool, typer.Option("--list", help="List papers and claims, and compute nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the claims of published papers again: each number with its error, the exact and the published value.

    Writes a page (reproduction.html) with figures, and tables in full precision (.json, .csv). Finished claims are kept
    in reproduction-claims; after Ctrl-C the same command goes on from there. The exit code is 1 if a claim is not
    reproduced.
    """
    chosen = tuple(paper or ())
    with input_errors():
        wanted = claims(*chosen)
        integer("--seed", seed, 0, 2**64)
        integer("--threads", threads, 0, 4096)
    if names:
        _list(chosen, as_json=as_json)
        return
    with input_errors():
        files = Files.of(output)
    try:
        with input_errors(), warnings_as_notes():
            found = reproduce(*chosen, files=files, quick=quick, seed=seed, n_threads=threads)
    except KeyboardInterrupt:
        done = count_kept(*chosen, files=files, quick=quick, seed=seed)
        note(f"{done} of {len(wanted)} claims are kept in {files.shelf}; the same command goes on from there")
        raise
    with input_errors():
        write_reproduction(found, files)
    before = sum(outcome.kept for outcome in found.outcomes)
    if before:
        note(f"{before} of {len(wanted)} claims were computed before, and kept in {files.shelf}")
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    for file in (files.page, files.table, files.sheet):
        note(f"wrote {os.fspath(file)}")
    if not found.reproduced:
        raise typer.Exit(1)


def _print(found: Reproduction) -> None:
    """The claims with their verdicts, and the numbers that do not support them."""
    table = Table.grid(padding=(0, 2))
    for _ in range(3):
        table.add_column(no_wrap=True)
    for outcome in found.outcomes:
        numbers = () if outcome.record is None else outcome.record.numbers
        style = "green" if outcome.reproduced else "bold red"
        table.add_row(
            Text(outcome.claim.paper.arxiv),
            Text(outcome.claim.name),
            Text(str(outcome.verdict), style=style),
            Text(f"{len(numbers)} numbers" if numbers else outcome.failure),
        )
        for number in numbers:
            if number.sound is False or number.verdict is Verdict.NOT_RESOLVED:
                said = (number.measured_text, f"exact {number.exact_text}" if number.exact_text else "", number.remark)
                told = ", ".join(text for text in said if text)
                table.add_row("", Text(f"  {number.quantity}"), Text(number.verdict_text), Text(told))
    print_table(table)
    done = sum(outcome.reproduced for outcome in found.outcomes)
    say(
        f"{done} of {len(found.outcomes)} claims reproduced; {found.n_tests} tests, chance of a false deviation "
        "at most "
        f"{found.chance:.2g}"
    )


def _list(chosen: tuple[str, ...], *, as_json: bool) -> None:
    listed = claims(*chosen)
    if as_json:
        print_json(
            {
                "papers": [
                    {
                        "arxiv": p.arxiv,
                        "name": p.name,
                        "authors": p.authors,
                        "title": p.title,
                        "claims": [{"name": c.name, "statement": c.statement} for c in listed if c.paper == p],
                    }
                    for p in papers()
                    if any(c.paper == p for c in listed)
                ]
            }
        )
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    for p in papers():
        of_paper = [c for c in listed if c.paper == p]
        if of_paper:
            table.add_row(Text(f"{p.arxiv}, {p.name}", style="bold"), Text(f"{p.authors}, {p.title}", style="bold"))
            for c in of_paper:
                table.add_row(Text(f"  {c.name}"), Text(c.statement))
    print_table(table)
