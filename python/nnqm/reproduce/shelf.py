"""Records on disk, so that a reproduction that was interrupted goes on."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from .. import _core
from ..runs.writing import replacing
from .record import Record
from .registry import Claim, Effort

__all__: list[str] = []


class Kept(NamedTuple):
    """A record, and the time that it took."""

    record: Record
    seconds: float


class Shelf:
    """Finished records in a folder, one file each, written at once and completely.

    A record is found again only for the same claim with the same code, sizes, seed and version of nnqm.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, claim: Claim, effort: Effort) -> Kept | None:
        """The record of a claim, None if there is none; a damaged file counts as none."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            data = json.loads(self._file(claim, effort).read_text(encoding="utf-8"))
            if data["key"] == _key(claim, effort):
                return Kept(Record.from_dict(data["record"]), float(data["seconds"]))
        return None

    def keep(self, claim: Claim, effort: Effort, kept: Kept) -> None:
        """Write a record.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        data = {"key": _key(claim, effort), "seconds": kept.seconds, "record": kept.record.to_dict()}
        self._folder.mkdir(exist_ok=True)
        with replacing(self._file(claim, effort)) as name:
            Path(name).write_text(json.dumps(data, allow_nan=False, indent=1), encoding="utf-8")

    def _file(self, claim: Claim, effort: Effort) -> Path:
        digest = hashlib.sha256(json.dumps(_key(claim, effort), sort_keys=True).encode()).hexdigest()[:12]
        return self._folder / f"{claim.name}-{digest}.json"


def _key(claim: Claim, effort: Effort) -> dict[str, Any]:
    """Everything that decides the numbers; the number of threads does not."""
    return {
        "claim": claim.name,
        "code": claim.code,
        "quick": effort.quick,
        "seed": effort.seed,
        "version": _core.build_info()["version"],
    }
