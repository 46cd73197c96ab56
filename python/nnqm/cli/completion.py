"""Completion in shells by the Tab key: built-in theories, theory files, results."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..theories.builtin import BUILTIN_THEORIES

__all__: list[str] = []


def theories(incomplete: str) -> list[str]:
    """Built-in theories and theory files that begin with a text."""
    return [name for name in BUILTIN_THEORIES if name.startswith(incomplete)] + _files(incomplete, (".toml",))


def results(incomplete: str) -> list[str]:
    """Files of results that begin with a text."""
    return _files(incomplete, (".nc", ".part"))


def precisions(incomplete: str) -> list[str]:
    """Types of paths that begin with a text."""
    return [name for name in ("float32", "float64") if name.startswith(incomplete)]


def _files(incomplete: str, endings: Iterable[str]) -> list[str]:
    """Folders, and files with one of the endings. A shell completes any file itself if there are none."""
    folder, begin = os.path.split(incomplete)
    found: list[str] = []
    with suppress(OSError):
        for entry in sorted(Path(folder or ".").iterdir()):
            if not entry.name.startswith(begin) or (entry.name.startswith(".") and not begin):
                continue
            if entry.is_dir():
                found.append(os.path.join(folder, entry.name) + "/")
            elif entry.suffix in endings:
                found.append(os.path.join(folder, entry.name))
    return found
