"""Euclidean-time quantum mechanics as neural networks: define a theory, get its physics with error bars."""

from ._core import build_info
from .axioms import Properties, Property, check
from .certificates import PositivityCertificate, Witness, positivity_certificate
from .correlators import Correlators, load, merge, save
from .decays import DecayError, DecayLevels, OneCorrelator
from .densities import Density
from .estimate import Estimate, jackknife
from .exact import (
    WeightAverage,
    average_over_weights,
    kallen_lehmann,
    n_point,
    quasi_monte_carlo,
    thermal_measure,
    thermal_two_point,
)
from .expansion import KarhunenLoeve
from .functions import simulate_functions
from .ground_state import GroundStateProcess
from .hamiltonian import GroundStateChain, Hamiltonian, State
from .hidden import hidden_spectrum
from .kernels import CosineNetwork, Kernel, TimeNetwork
from .kkl import karhunen_loeve
from .levels import Advice, Level, Spectrum, SpectrumError, effective_energy, gevp, spectrum
from .networks import Network, RandomNetwork
from .observables import Observables, default_observables
from .processes import KarhunenLoeveProcess, SplittingProcess
from .reflection import PositivityResult, reflection_positivity
from .report import Report, Row, analyse
from .roughness import (
    Extrapolation,
    commutator,
    commutator_at_lags,
    commutator_spread,
    momentum_squared,
    momentum_squared_at_lags,
    quadratic_variation,
    roughness_exponent,
    uncertainty,
)
from .shape import Clustering, clustering, connected_four_point, pair_four_point
from .simulation import Interrupted, extend, simulate
from .sources import MarkovChain, OrnsteinUhlenbeck, Times
from .spectral import SpectralMeasure, ThermalMeasure
from .stages import accumulate, apply, draw_weights, sample_paths
from .theory import Theory, builtin_theory, harmonic_oscillator
from .theory_file import TheoryFile, load_theory, load_theory_file
from .thermal import ThermalOrnsteinUhlenbeck, ThermalProcess
from .transition import EffectiveLevels, ExactEffectiveLevels, binned_effective_levels, exact_effective_levels
from .universality import as_network, split_network

__version__: str = build_info()["version"]

__all__ = [
    "Advice",
    "Clustering",
    "Correlators",
    "CosineNetwork",
    "DecayError",
    "DecayLevels",
    "Density",
    "EffectiveLevels",
    "Estimate",
    "ExactEffectiveLevels",
    "Extrapolation",
    "GroundStateChain",
    "GroundStateProcess",
    "Hamiltonian",
    "Interrupted",
    "KarhunenLoeve",
    "KarhunenLoeveProcess",
    "Kernel",
    "Level",
    "MarkovChain",
    "Network",
    "Observables",
    "OneCorrelator",
    "OrnsteinUhlenbeck",
    "PositivityCertificate",
    "PositivityResult",
    "Properties",
    "Property",
    "RandomNetwork",
    "Report",
    "Row",
    "SpectralMeasure",
    "Spectrum",
    "SpectrumError",
    "SplittingProcess",
    "State",
    "Theory",
    "TheoryFile",
    "ThermalMeasure",
    "ThermalOrnsteinUhlenbeck",
    "ThermalProcess",
    "TimeNetwork",
    "Times",
    "WeightAverage",
    "Witness",
    "accumulate",
    "analyse",
    "apply",
    "as_network",
    "average_over_weights",
    "binned_effective_levels",
    "build_info",
    "builtin_theory",
    "check",
    "clustering",
    "commutator",
    "commutator_at_lags",
    "commutator_spread",
    "connected_four_point",
    "default_observables",
    "draw_weights",
    "effective_energy",
    "exact_effective_levels",
    "extend",
    "gevp",
    "harmonic_oscillator",
    "hidden_spectrum",
    "jackknife",
    "kallen_lehmann",
    "karhunen_loeve",
    "load",
    "load_theory",
    "load_theory_file",
    "merge",
    "momentum_squared",
    "momentum_squared_at_lags",
    "n_point",
    "pair_four_point",
    "positivity_certificate",
    "quadratic_variation",
    "quasi_monte_carlo",
    "reflection_positivity",
    "roughness_exponent",
    "sample_paths",
    "save",
    "simulate",
    "simulate_functions",
    "spectrum",
    "split_network",
    "thermal_measure",
    "thermal_two_point",
    "uncertainty",
]
