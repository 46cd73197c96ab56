"""Claims of papers, each a function that computes a record, and their registry."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module

from ..errors import InputError
from .record import Record

__all__ = ["Claim", "Effort", "Paper", "claim", "claims", "papers"]


@dataclass(frozen=True)
class Paper:
    """A paper: the number at arXiv, a short name for the command line, authors and title."""

    arxiv: str
    name: str
    authors: str
    title: str


# In the order of the page.
_PAPERS = (
    Paper("2504.05462", "nnqm", "C. Ferko and J. Halverson", "Quantum Mechanics and Neural Networks"),
    Paper(
        "2601.14453",
        "universality",
        "C. Ferko, J. Halverson and A. Mutchler",
        "Universality of Neural Network Field Theory",
    ),
    Paper("2008.08601", "width", "J. Halverson, A. Maiti and K. Stoner", "Neural Networks and Quantum Field Theory"),
    Paper(
        "2604.27050", "alpha", "Z. Zhang", "Optimal Architecture and Fundamental Bounds in Neural Network Field Theory"
    ),
    Paper("2512.24420", "vertex", "B. Robinson", "Virasoro Symmetry in Neural Network Field Theories"),
    Paper(
        "1902.06720",
        "training",
        "J. Lee et al.",
        "Wide Neural Networks of Any Depth Evolve as Linear Models Under Gradient Descent",
    ),
)


# Files of claims, in the order of the page.
_GROUPS = (
    "universality",
    "positivity",
    "roughness",
    "oscillator",
    "deep_networks",
    "paper_figures",
    "training",
    "widths",
    "quantum_fields",
)


@dataclass(frozen=True)
class Effort:
    """Sizes and random numbers of a claim.

    Attributes
    ----------
    claim : str
        Name of the claim; claims draw different random numbers.
    quick : bool
        Whether the small sizes are used.
    seed : int
        Equal seeds give equal numbers, for any number of threads.
    n_threads : int
        Threads, 0 for all.
    """

    claim: str
    quick: bool = False
    seed: int = 1
    n_threads: int = 0

    def size(self, full: int, quick: int) -> int:
        """One of two sizes."""
        return quick if self.quick else full

    def rng(self, number: int = 0) -> int:
        """Seed of the random numbers of one part of the claim, a function of claim, seed and ``number``."""
        text = f"{self.claim} {self.seed} {number}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


@dataclass(frozen=True)
class Claim:
    """A claim of a paper, with the function that checks it.

    Attributes
    ----------
    name : str
        Short name, unique.
    paper : Paper
    source : str
        Where the paper makes it.
    statement : str
        The claim in one sentence.
    compute : callable
        ``compute(effort) -> Record``.
    """

    name: str
    paper: Paper
    source: str
    statement: str
    compute: Callable[[Effort], Record] = field(repr=False)

    @property
    def code(self) -> str:
        """Digest of the text of the function, so that an edited claim is computed again."""
        try:
            text = inspect.getsource(self.compute).encode()
        except OSError:  # a function that was typed in has no file
            text = self.compute.__code__.co_code
        return hashlib.sha256(text).hexdigest()[:16]

    def __call__(self, effort: Effort) -> Record:
        """The record of the claim, computed now."""
        return self.compute(effort)


_claims: dict[str, Claim] = {}


def claim(
    name: str, paper: str, source: str, statement: str
) -> Callable[[Callable[[Effort], Record]], Callable[[Effort], Record]]:
    """Decorator that registers a function as a claim of a paper.

    Parameters
    ----------
    name : str
        Short name, unique.
    paper : str
        Number at arXiv or short name of a known paper.
    source, statement : str
        Place in the paper, and the claim in one sentence.
    """
    (origin,) = (p for p in _PAPERS if paper in (p.arxiv, p.name))

    def register(function: Callable[[Effort], Record]) -> Callable[[Effort], Record]:
        if name in _claims:
            raise InputError(f"there is a claim {name} already; choose another name")
        _claims[name] = Claim(name, origin, source, statement, function)
        return function

    return register


def papers() -> tuple[Paper, ...]:
    """The papers that have claims, in the order of the page."""
    return tuple(paper for paper in _PAPERS if any(c.paper == paper for c in _all().values()))


def claims(*wanted: str) -> tuple[Claim, ...]:
    """The claims of papers, or of given names; all without arguments.

    Parameters
    ----------
    *wanted : str
        Numbers at arXiv (with or without "arXiv:" and version), short names of papers, or names of claims.

    Returns
    -------
    tuple of Claim
        In the order of the page.

    Raises
    ------
    InputError
        If a name is not known.

    Examples
    --------
    >>> from nnqm.reproduce import claims
    >>> [claim.name for claim in claims("vertex")]
    ['vertex-operators']
    """
    found = _all()
    chosen: set[str] = set()
    for text in wanted:
        short = text.strip().lower().removeprefix("arxiv:")
        base = short.partition("v")[0] if short[:4].isdigit() else short
        these = {n for n, c in found.items() if base in (n, c.paper.arxiv, c.paper.name)}
        if not these:
            known = ", ".join(f"{p.arxiv} ({p.name})" for p in papers())
            raise InputError(
                f"paper must be one of {known}, or the name of a claim; got {text}; see nnqm reproduce --list"
            )
        chosen |= these
    order = {paper.arxiv: i for i, paper in enumerate(_PAPERS)}
    listing = [c for n, c in found.items() if not wanted or n in chosen]
    return tuple(sorted(listing, key=lambda c: order[c.paper.arxiv]))


def _all() -> dict[str, Claim]:
    """The registry, filled by the import of all files of claims."""
    for group in _GROUPS:
        import_module(f".{group}", __package__)
    return _claims
