"""Compute claims, one after the other, and keep each that is finished."""

from __future__ import annotations

import csv
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import _core
from .._arguments import integer
from ..errors import InputError
from ..progress import ProgressBar, Showing
from ..representation import short_repr
from ..runs.writing import check_writable
from ..verdict import Verdict
from .record import THRESHOLD, Record
from .registry import Claim, Effort, claims
from .shelf import Kept, Shelf

__all__ = ["Files", "Outcome", "Reproduction", "count_kept", "reproduce"]

_COLUMNS = (
    "paper", "claim", "claim_verdict", "quantity", "value", "error", "systematic", "exact", "published",
    "published_error", "p_value", "verdict", "supports_claim", "remark",
)  # fmt: skip


@short_repr
@dataclass(frozen=True)
class Outcome:
    """A claim and its record.

    Attributes
    ----------
    claim : Claim
    record : Record or None
        None if the claim failed.
    failure : str
        Message of the exception, otherwise empty.
    seconds : float
        Time that the record took when it was computed.
    kept : bool
        Whether the record was found on disk, and not computed now.
    """

    claim: Claim
    record: Record | None
    failure: str = ""
    seconds: float = 0.0
    kept: bool = False

    @property
    def verdict(self) -> Verdict:
        """The verdict of the record, NOT_TESTED if the claim failed."""
        return Verdict.NOT_TESTED if self.record is None else self.record.verdict

    @property
    def reproduced(self) -> bool:
        """Whether the numbers support the claim and none contradicts it."""
        return self.verdict in (Verdict.HOLDS, Verdict.CONSISTENT)


@dataclass(frozen=True)
class Files:
    """Where a reproduction writes: the page, the tables, and the folder of finished records."""

    page: Path
    table: Path
    sheet: Path
    shelf: Path

    @classmethod
    def of(cls, output: str | os.PathLike[str]) -> Files:
        """The files of a folder, which is made if it does not exist, or beside a page ``NAME.html``.

        Raises
        ------
        InputError
            If they cannot be written.
        """
        target = Path(output)
        if target.suffix.lower() in (".html", ".htm") and not target.is_dir():
            base = target.with_suffix("")
            page = target
        else:
            if target.exists() and not target.is_dir():
                raise InputError(f"output must be a folder or a file .html; got the file {target}")
            if not target.parent.is_dir():
                raise InputError(f"output folder {target.parent} does not exist; create it first")
            try:
                target.mkdir(exist_ok=True)
            except OSError as error:
                raise InputError(f"output {target} cannot be made: {error.strerror}; choose another place") from None
            base = target / "reproduction"
            page = base.with_suffix(".html")
        found = cls(page, base.with_suffix(".json"), base.with_suffix(".csv"), base.with_name(base.name + "-claims"))
        for file in (found.page, found.table, found.sheet):
            check_writable(file)
        if found.shelf.exists() and not found.shelf.is_dir():
            raise InputError(f"output folder {found.shelf} is a file; remove it or choose another output")
        return found


@short_repr
@dataclass(frozen=True)
class Reproduction:
    """Outcomes of claims.

    Attributes
    ----------
    outcomes : tuple of Outcome
        In the order of the page.
    quick : bool
        Whether the small sizes were used.
    seed : int
    """

    outcomes: tuple[Outcome, ...]
    quick: bool
    seed: int

    @property
    def reproduced(self) -> bool:
        """Whether all claims are reproduced."""
        return all(outcome.reproduced for outcome in self.outcomes)

    @property
    def n_tests(self) -> int:
        """Number of verdicts that can be wrong by chance."""
        return sum(n.counted for o in self.outcomes if o.record is not None for n in o.record.numbers)

    @property
    def chance(self) -> float:
        """Chance that a correct package has any deviating number by statistics alone (Bonferroni's bound)."""
        return self.n_tests * THRESHOLD

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain data of JSON in full precision."""
        found = []
        for outcome in self.outcomes:
            claim = outcome.claim
            record = {} if outcome.record is None else outcome.record.to_dict()
            found.append(
                {
                    "name": claim.name,
                    "paper": {"arxiv": claim.paper.arxiv, "authors": claim.paper.authors, "title": claim.paper.title},
                    "source": claim.source,
                    "statement": claim.statement,
                    "verdict": str(outcome.verdict),
                    "reproduced": outcome.reproduced,
                    "failure": outcome.failure,
                    "seconds": round(outcome.seconds, 3),
                    **record,
                }
            )
        return {
            "version": _core.build_info()["version"],
            "quick": self.quick,
            "seed": self.seed,
            "reproduced": self.reproduced,
            "tests": self.n_tests,
            "threshold": THRESHOLD,
            "chance_of_a_false_deviation": self.chance,
            "claims": found,
        }

    def to_csv(self) -> str:
        """One line for each number, with all digits."""
        text = io.StringIO()
        sheet = csv.writer(text, lineterminator="\n")
        sheet.writerow(_COLUMNS)
        for outcome in self.outcomes:
            start = (outcome.claim.paper.arxiv, outcome.claim.name, str(outcome.verdict))
            if outcome.record is None:
                sheet.writerow([*start, "", *[""] * 7, str(Verdict.NOT_TESTED), "", outcome.failure])
                continue
            for n in outcome.record.numbers:
                values = (n.value, n.error, n.systematic, n.exact, n.published, n.published_error, n.p_value)
                numbers = ["" if v is None else repr(float(v)) for v in values]
                sound = "" if n.sound is None else str(bool(n.sound))
                sheet.writerow([*start, n.quantity, *numbers, str(n.verdict), sound, n.remark])
        return text.getvalue()


def reproduce(
    *wanted: str,
    quick: bool = False,
    seed: int = 1,
    files: Files | None = None,
    n_threads: int = 0,
    progress: Showing = None,
) -> Reproduction:
    """Compute claims of papers again.

    A claim that fails does not stop the others. With ``files`` each finished claim is kept at once, and a later call
    with the same settings, version and seed does not compute it again.

    Parameters
    ----------
    *wanted : str
        Papers, by number or short name, or claims by name; all by default.
    quick : bool
        Use small sizes, for a minute in all in place of several.
    seed : int
        Equal seeds give equal numbers for any number of threads.
    files : Files, optional
        Where finished claims are kept. The page and the tables are written by ``write_reproduction``.
    n_threads : int
        Threads, 0 for all.
    progress : callable, bool or None
        A function of (done, wanted), called after each claim. By default a bar is shown in terminals and notebooks.

    Returns
    -------
    Reproduction

    Raises
    ------
    InputError
        If a paper is not known or a record cannot be written.

    Examples
    --------
    >>> from nnqm.reproduce import reproduce
    >>> found = reproduce("oscillator-schroedinger", quick=True)
    >>> found.reproduced, found.outcomes[0].record.numbers[0].exact
    (True, 0.5)
    """
    chosen = claims(*wanted)
    integer("seed", seed, 0, 2**64)
    integer("n_threads", n_threads, 0, 4096)
    shelf = None if files is None else Shelf(files.shelf)
    outcomes: list[Outcome] = []
    with ProgressBar("claims", given=progress) as tell:
        for claim in chosen:
            effort = Effort(claim.name, quick, seed, n_threads)
            kept = None if shelf is None else shelf.find(claim, effort)
            if kept is not None:
                outcome = Outcome(claim, kept.record, seconds=kept.seconds, kept=True)
            else:
                outcome = _computed(claim, effort)
                if shelf is not None and outcome.record is not None:
                    shelf.keep(claim, effort, Kept(outcome.record, outcome.seconds))
            outcomes.append(outcome)
            tell(len(outcomes), len(chosen))
    return Reproduction(tuple(outcomes), quick, seed)


def count_kept(*wanted: str, files: Files, quick: bool, seed: int) -> int:
    """Number of claims that ``reproduce`` with the same arguments would not compute again."""
    shelf = Shelf(files.shelf)
    return sum(shelf.find(claim, Effort(claim.name, quick, seed)) is not None for claim in claims(*wanted))


def _computed(claim: Claim, effort: Effort) -> Outcome:
    start = time.monotonic()
    try:
        record = claim(effort)
    except Exception as error:  # any failure becomes a row; Ctrl-C is no Exception
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return Outcome(claim, None, message, time.monotonic() - start)
    return Outcome(claim, record, seconds=time.monotonic() - start)
