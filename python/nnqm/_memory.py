"""Memory of the machine, and requests that exceed it, refused before it is taken."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from .errors import InputError

# Limits of a container, of versions 2 and 1 of control groups.
_CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def machine_memory() -> int | None:
    """Bytes of memory of the machine, or of the container if it has fewer; None where the system does not say."""
    try:
        known = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (AttributeError, ValueError, OSError):
        return None
    for path in _CONTAINER:
        try:
            known.append(int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return min((n for n in known if n > 0), default=None)


def need_memory(needed: float, what: str, remedy: str) -> None:
    """Raise InputError if a request exceeds the memory of the machine.

    Parameters
    ----------
    needed : float
        Bytes.
    what : str
        What takes them, for the message.
    remedy : str
    """
    limit = machine_memory()
    if limit is not None and needed > limit:
        raise InputError(
            f"{what} would take {needed / 2**30:.3g} GiB, more than the {limit / 2**30:.3g} GiB of memory", remedy
        )
