"""The program, to which each module of commands adds its own."""

from __future__ import annotations

import typer

__all__: list[str] = []

app = typer.Typer(
    name="nnqm",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
