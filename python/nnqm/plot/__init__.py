"""Pictures, one function for each question. They need matplotlib, which is loaded on use: pip install 'nnqm[plot]'.

Each function takes ``ax``, the axes to draw on, and returns them. Without ``ax`` it makes a new figure of pyplot, which
a notebook shows. Results draw themselves: ``run.plot()`` is ``correlator(run)``.
"""

from .correlators import commutator, correlator, effective_energies
from .fields import dispersion, propagator
from .learning import scan, training
from .overviews import check_figure_file, overview, save_overview
from .positions import density, ground_state, modes, paths
from .spectra import levels, reflection, spectral_measure

__all__ = [
    "check_figure_file",
    "commutator",
    "correlator",
    "density",
    "dispersion",
    "effective_energies",
    "ground_state",
    "levels",
    "modes",
    "overview",
    "paths",
    "propagator",
    "reflection",
    "save_overview",
    "scan",
    "spectral_measure",
    "training",
]
