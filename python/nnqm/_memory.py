"""Memory of the machine; more of it is refused by name before it is taken."""

from __future__ import annotations

import os
from collections.abc import Iterator
from math import inf
from pathlib import Path

from .errors import InputError

__all__ = ["memory", "need_memory"]

# Bytes below which the files of the system are not read: this costs more than small work, and other threads wait.
_LITTLE = 2**24


def need_memory(needed: float, what: str, remedy: str, got: str = "") -> None:
    """Raise InputError if more memory is needed than this process can ever have.

    Parameters
    ----------
    needed : float
        In bytes.
    what : str
        Subject of the message, for example "the paths".
    remedy : str
        Arguments to change.
    got : str
        Sizes that the user gave.
    """
    if needed < _LITTLE:
        return
    held, limit = memory()
    if needed > held:
        sizes = f"; got {got}" if got else ""
        raise InputError(
            f"{what} would take {needed / 2**30:.3g} GiB, and {limit} {held / 2**30:.3g} GiB{sizes}", remedy
        )


def memory() -> tuple[float, str]:
    """Largest memory of this process in bytes, and the words before that number in a message.

    The smallest of the memory of the machine, the limits of its control groups, and what is left of the address space;
    infinite where the system does not tell.
    """
    return min(_limits())


def _limits() -> Iterator[tuple[float, str]]:
    yield inf, "the machine has"
    try:
        yield float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")), "the machine has"
    except (AttributeError, OSError, ValueError):
        return
    yield from ((limit, "the control group of this process has") for limit in control_group_limits())
    yield _address_space(), "the limit of the address space (ulimit -v) leaves"


def control_group_limits(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[float]:
    """Memory limits, in bytes, of the control groups of this process (Linux, versions 1 and 2) and of their parents.

    Inside a container the path of a group is often that outside; the limit is then at the root.
    """
    found = []
    for line in _text(groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            top, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        folder = top / path.lstrip("/")
        for place in (folder, *folder.parents):
            if not place.is_relative_to(top):
                break
            text = _text(place / name).strip()
            found += [float(text)] if text.isdigit() else []
    return found


def _address_space() -> float:
    """Bytes of address space that this process may still take."""
    try:
        import resource
    except ImportError:  # not a Unix system
        return inf
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return inf
    used = _text(Path("/proc/self/statm")).split()
    return limit - (int(used[0]) * os.sysconf("SC_PAGE_SIZE") if used else 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
