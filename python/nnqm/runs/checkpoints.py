"""Checkpoints: the sums of a run, kept in a file while it works, and the run that goes on from them."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Any

import numpy as np

from .._signals import HeldSignals
from ..errors import InputError
from ..sampling.correlators import Correlators, same_draws
from ..theories.table import brief
from .locks import Lock
from .run_file import load, write_run
from .writing import beside, check_writable, remove_leftovers, replacing

__all__: list[str] = []

# Seconds between two writings of the file.
_INTERVAL = 60.0

# Most settings that a message lists.
_LISTED = 4

# Entries of a run that may differ between a run and its continuation, and the names under which users know others.
_FREE = {"n_paths", "n_blocks", "first_block", "version", "notes", "random_map_version"}
_NAMES = {
    "keys": "the key of rng",
    "level": "the instruction-set level",
    "lags": "measure.lags",
    "observable_lags": "measure.observable_lags",
    "increment_lags": "measure.increment_lags",
    "two_time": "measure.two_time",
    "observables": "measure.observables",
}


def keeping(path: str | os.PathLike[str] | None) -> AbstractContextManager[Checkpoint | None]:
    """A context in which a file keeps the sums of a run; None for no file."""
    return nullcontext() if path is None else Checkpoint(path)


class Checkpoint:
    """The file that keeps the sums of a run, which one process writes at a time.

    Parameters
    ----------
    path : path-like

    Raises
    ------
    InputError
        If the file cannot be written, or another process writes it.
    InputTypeError
        If it is not a path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Imported before the run, so that a signal does not wait for the import.
        import h5netcdf  # noqa: F401
        import xarray  # noqa: F401

        given = check_writable(path)
        target = beside(given, "")
        if target is None:
            raise InputError(f"checkpoint {given} is not a regular file; give the name of a file")
        self.path, self._target = given, target
        self._signals = HeldSignals()
        self._stored: tuple[int, bytes] | None = None
        self._written = time.monotonic()
        self._lock = Lock(target)

    def __enter__(self) -> Checkpoint:
        remove_leftovers(self._target)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def load(self) -> Correlators | None:
        """The run in the file, None if there is no file.

        Raises
        ------
        InputError
            If the file is not a run of one seed.
        """
        if not self._target.exists():
            return None
        found = load(self.path)
        if found.theory is None or len(found.keys) != 1:
            raise InputError(
                f"checkpoint {self.path} holds paths from elsewhere or several seeds, which cannot go on",
                "give another name",
            )
        self._stored = _state(found)
        return found

    def going_on(self, found: Correlators, asked: Correlators, held: range | None = None) -> Correlators:
        """The run that is asked for, without sums, with the paths and sums of a run found in the file.

        Raises
        ------
        InputError
            If they differ in a setting, which the message names, or the file is of more paths.
        """
        if differing := differences(found, asked, held):
            more = f", and {len(differing) - _LISTED} more" if len(differing) > _LISTED else ""
            raise InputError(
                f"checkpoint {self.path} is of a run with other settings: {', '.join(differing[:_LISTED])}{more}",
                "give the settings of the file, or another name, or remove the file to start anew",
            )
        if found.n_paths > asked.n_paths:
            raise InputError(
                f"checkpoint {self.path} is of a run of {found.n_paths} paths; got n_paths={asked.n_paths}",
                f"ask for {found.n_paths} or more, or give another name",
            )
        return replace(
            asked,
            n_paths=found.n_paths,
            version=found.version,
            random_map_version=found.random_map_version,
            sums=found.sums,
        )

    @property
    def hurried(self) -> bool:
        """Whether a second Ctrl-C stopped a slice in the middle, so that its sums must not be used."""
        return self._signals.hurried

    def slices(self) -> HeldSignals:
        """A context for slices of work, in which signals wait for the end of a slice."""
        self._signals = HeldSignals()
        return self._signals

    def after_slice(self, run: Correlators) -> None:
        """Write the sums if a signal has arrived or a minute is over; then let the signal take effect."""
        if self._signals.waiting:
            self.write(run)
            if self._signals.fatal:
                self._lock.release()
            self._signals.deliver()
        elif time.monotonic() - self._written >= _INTERVAL:
            self.write(run)

    def write(self, run: Correlators) -> None:
        """Write the run, unless the file has it; a file that cannot be written gives a warning, and the run goes on."""
        if _state(run) == self._stored:
            return
        try:
            with HeldSignals(), replacing(self._target, locked=True) as name:
                write_run(run, name)
            self._stored = _state(run)
        except InputError as error:
            warnings.warn(f"no checkpoint: {error}", RuntimeWarning, stacklevel=2)
        self._written = time.monotonic()


def differences(found: Correlators, asked: Correlators, held: range | None = None) -> list[str]:
    """Settings in which a run in a file differs from the run that is asked for, each with both values.

    Parameters
    ----------
    found : Correlators
    asked : Correlators
    held : range, optional
        Blocks that are asked for; by default those of the sums of ``asked``.

    Returns
    -------
    list of str
        Empty if the paths and sums of one are those of the other.
    """
    listed = []
    n_found, n_asked = len(found.times), len(asked.times)
    if n_found != n_asked:
        listed.append(_change("n_times", n_found, n_asked))
    elif not np.array_equal(found.times, asked.times):
        uniform = n_found > 1 and found.uniform and asked.uniform and found.dt != asked.dt
        where = int(np.flatnonzero(found.times != asked.times)[0])
        values = (found.dt, asked.dt) if uniform else (float(found.times[where]), float(asked.times[where]))
        listed.append(_change("dt" if uniform else f"times[{where}]", *values))
    old, new = (json.loads(json.dumps(run._metadata())) for run in (found, asked))
    for name in old:
        if name not in _FREE:
            listed.extend(_changes(_NAMES.get(name, name), old[name], new[name]))
            if name == "level" and old[name] != new[name]:
                listed[-1] += f" (NNQM_LEVEL={found.level} in the environment may be the remedy)"
    if found.n_blocks != asked.n_blocks:
        listed.append(_change("n_blocks", found.n_blocks, asked.n_blocks))
    else:
        there, here = blocks_of(found), blocks_of(asked) if held is None else held
        if there != here:
            listed.append(_change("blocks", there, here))
    if not same_draws(found, asked):
        name = "version of the random-number map"
        listed.append(_change(name, found.random_map_version, asked.random_map_version))
    return listed


def blocks_of(run: Correlators) -> range:
    """The blocks that a run holds."""
    return range(run.first_block, run.first_block + len(run.block_paths))


def _changes(name: str, old: Any, new: Any) -> Iterator[str]:
    """Entries of two values that differ; only the first one of lists."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            yield from _changes(f"{name}.{key}", old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            if a != b:
                yield from _changes(f"{name}[{i}]" if len(old) > 1 else name, a, b)
                return
    elif old != new:
        yield _change(name, old, new)


def _change(name: str, old: Any, new: Any) -> str:
    return f"{name} is {brief(old)} in the file and {brief(new)} here"


def _state(run: Correlators) -> tuple[int, bytes]:
    """Number of paths of the run and of each block, which tell two states of one run apart."""
    return run.n_paths, run.block_paths.tobytes()
