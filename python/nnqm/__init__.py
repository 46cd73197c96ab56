"""Euclidean-time quantum mechanics as neural networks: define a theory, get its physics with error bars."""

from ._core import build_info
from .correlators import Correlators, load, merge, save
from .estimate import Estimate, jackknife
from .networks import Network
from .observables import Observables, default_observables
from .simulation import Interrupted, accumulate, apply, extend, sample_paths, simulate
from .sources import OrnsteinUhlenbeck
from .theory import Theory, builtin_theory, harmonic_oscillator

__version__ = build_info()["version"]

__all__ = [
    "Correlators",
    "Estimate",
    "Interrupted",
    "Network",
    "Observables",
    "OrnsteinUhlenbeck",
    "Theory",
    "accumulate",
    "apply",
    "build_info",
    "builtin_theory",
    "default_observables",
    "extend",
    "harmonic_oscillator",
    "jackknife",
    "load",
    "merge",
    "sample_paths",
    "save",
    "simulate",
]
