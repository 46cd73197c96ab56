"""Pages of results: self-contained HTML files that work offline, in light and dark, and in print."""

from .comparison import Compared, Comparison, compare, compare_page
from .page import Page
from .report import report_page

__all__ = ["Compared", "Comparison", "Page", "compare", "compare_page", "report_page"]
