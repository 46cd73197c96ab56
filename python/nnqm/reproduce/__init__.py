"""Claims of papers, computed again: each number with its error, the exact and the published value, and a verdict."""

from .registry import Claim, Effort, Paper, claim, claims, papers
from .record import Curve, Number, Panel, Record

__all__ = ["Claim", "Curve", "Effort", "Number", "Paper", "Panel", "Record", "claim", "claims", "papers"]
