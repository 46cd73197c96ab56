"""Pages of results: self-contained HTML files that work offline, in light and dark, and in print."""

from .page import Page

__all__ = ["Page"]
