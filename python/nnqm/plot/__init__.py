"""Figures: of a run, of a training, of a scan over theories. They need matplotlib, which is loaded on use."""

from .learning import scan, training_dynamics
from .run import check_figure_file, figure, save_figure

__all__ = ["check_figure_file", "figure", "save_figure", "scan", "training_dynamics"]
