"""Classes of results, for annotations and ``isinstance``. The functions of nnqm make their objects."""

from __future__ import annotations

from .estimators.clustering import Clustering
from .estimators.markov import ChapmanKolmogorov
from .estimators.roughness import Extrapolation
from .exact.quasi_monte_carlo import QuasiMonteCarlo
from .exact.random_weights import WeightAverage
from .files.theory_file import TheoryFile
from .learning.dynamics import Series, TrainingDynamics
from .learning.fit import Fit, FitError, FitInterrupted
from .learning.goodness import TargetQuality
from .learning.physics import Origin, Physics, Quantity
from .positivity.certificate import PositivityCertificate, Witness
from .positivity.reflection import PositivityResult
from .properties import Properties, Property
from .quantum.chain import GroundStateChain
from .quantum.measures import SpectralMeasure, ThermalMeasure, TwoPointFunction
from .quantum.states import State
from .report.table import Report, Row
from .sampling.correlators import Correlators
from .spectra.binned_paths import EffectiveLevels, ExactEffectiveLevels
from .spectra.decay_levels import DecayError, DecayLevels
from .spectra.levels import Advice, Level, Spectrum, SpectrumError
from .theories.mode_sums import KarhunenLoeve

__all__ = [
    "Advice",
    "ChapmanKolmogorov",
    "Clustering",
    "Correlators",
    "DecayError",
    "DecayLevels",
    "EffectiveLevels",
    "ExactEffectiveLevels",
    "Extrapolation",
    "Fit",
    "FitError",
    "FitInterrupted",
    "GroundStateChain",
    "KarhunenLoeve",
    "Level",
    "Origin",
    "Physics",
    "PositivityCertificate",
    "PositivityResult",
    "Properties",
    "Property",
    "Quantity",
    "QuasiMonteCarlo",
    "Report",
    "Row",
    "Series",
    "SpectralMeasure",
    "Spectrum",
    "SpectrumError",
    "State",
    "TargetQuality",
    "TheoryFile",
    "ThermalMeasure",
    "TrainingDynamics",
    "TwoPointFunction",
    "WeightAverage",
    "Witness",
]
