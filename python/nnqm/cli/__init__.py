"""The command line ``nnqm``: run a theory, analyse paths, check axioms, show the installation."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer

from .. import _core
from . import comparing, continuing, data, listing, reproducing, running, theories  # noqa: F401  # each adds its commands
from .application import app
from .interruptions import ended_by, ending_signals, exit_code
from .printing import BadInput, say, silence

__all__ = ["app", "main"]

# Order of the commands in the help.
_ORDER = ("run", "analyse", "report", "compare", "extend", "merge", "check", "reproduce", "list", "info")
app.registered_commands.sort(key=lambda command: _ORDER.index(command.name or "run"))

# Errors of usage, of click or of the copy of click inside newer versions of typer.
_UsageError: type[Exception] = importlib.import_module(typer.BadParameter.__module__).UsageError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with code 0, 2 for bad input, 130 after Ctrl-C, or 128 + n after signal n.

    Parameters
    ----------
    arguments : sequence of str, optional
        Arguments without the name of the program; by default the arguments of the process.
    """
    listed = None if arguments is None else list(arguments)
    try:
        with ending_signals():
            code = app(listed, prog_name="nnqm", standalone_mode=False)
            sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        sys.exit(0)
    except BadInput as error:
        _fail(str(error))
    except _UsageError as error:
        _fail(f"{cast(Any, error).format_message().rstrip('.')}. See nnqm --help.")
    except typer.Abort:
        say("nnqm: interrupted", sys.stderr)
        sys.exit(exit_code())
    sys.exit(exit_code() if ended_by() else code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    say("nnqm: " + " ".join(message.split()), sys.stderr)
    sys.exit(2)


def _version(asked: bool) -> None:
    if asked:
        say(f"nnqm {_core.build_info()['version']}")
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
        say(context.get_help())
