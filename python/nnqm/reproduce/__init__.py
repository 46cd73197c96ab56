"""Claims of papers, computed again: each number with its error, the exact and the published value, and a verdict."""

from .record import Curve, Number, Panel, Record
from .registry import Claim, Effort, Paper, claim, claims, papers
from .report_page import write_reproduction
from .reproduction import Files, Outcome, Reproduction, reproduce

__all__ = [
    "Claim",
    "Curve",
    "Effort",
    "Files",
    "Number",
    "Outcome",
    "Panel",
    "Paper",
    "Record",
    "Reproduction",
    "claim",
    "claims",
    "papers",
    "reproduce",
    "write_reproduction",
]
