"""Euclidean-time quantum mechanics as neural networks: define a theory, get its physics with error bars."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._core import build_info
from .estimators.roughness import (
    commutator,
    commutator_at_lags,
    commutator_spread,
    momentum_squared,
    momentum_squared_at_lags,
    quadratic_variation,
    roughness_exponent,
    uncertainty,
)
from .quantum.hamiltonian import Hamiltonian
from .runs.run_file import load, save
from .runs.simulation import Interrupted, extend, simulate
from .sampling.accumulator import Accumulator, accumulate
from .sampling.correlators import merge
from .sampling.drawn_networks import draw_weights, stable_rates
from .sampling.measure import Measure
from .sampling.observables import Observables, default_observables
from .sampling.path_source import Paths
from .sampling.paths import apply, sample_paths
from .sampling.run_settings import RunSettings
from .statistics.autocorrelation import autocorrelation_time
from .statistics.estimate import Estimate, jackknife
from .theories.builtin import builtin_theory, harmonic_oscillator
from .theories.densities import Density
from .theories.ground_state import GroundStateProcess, ThermalProcess
from .theories.ground_state_network import GroundStateNetwork
from .theories.linear_processes import KarhunenLoeveProcess, SplittingProcess
from .theories.markov_chain import MarkovChain
from .theories.networks import Network, RandomNetwork
from .theories.source import Source
from .theories.source import kinds_in as _kinds_in
from .theories.sources import OrnsteinUhlenbeck, ThermalOrnsteinUhlenbeck, Times
from .theories.theory import Theory
from .theories.training import GradientDescent
from .time_networks.kernels import CosineNetwork, Kernel, TimeNetwork
from .verdict import Verdict

if _TYPE_CHECKING:
    from . import fields as fields
    from . import interop as interop
    from . import learning as learning
    from . import plot as plot
    from . import results as results
    from .estimators.clustering import clustering
    from .estimators.four_points import connected_four_point, pair_four_point
    from .estimators.markov import chapman_kolmogorov
    from .exact.energies import level_energies
    from .exact.n_points import n_point
    from .exact.quasi_monte_carlo import quasi_monte_carlo
    from .exact.random_weights import average_over_weights
    from .exact.spectral_measures import kallen_lehmann
    from .exact.thermal_measures import thermal_measure
    from .files.path_files import PathFiles
    from .files.theory_file import load_theory_file
    from .learning.dynamics import training_dynamics
    from .learning.fit import fit
    from .learning.scan import scan
    from .learning.targets import Target
    from .learning.trajectory import Trajectory
    from .positivity.certificate import positivity_certificate
    from .positivity.reflection import reflection_positivity
    from .properties import check
    from .report.analyse import analyse
    from .runs.two_level import simulate_two_level
    from .sampling.path_functions import simulate_functions
    from .spectra.binned_paths import binned_effective_levels, exact_effective_levels
    from .spectra.correlator_matrix import spectrum
    from .spectra.gevp import effective_energy, gevp
    from .spectra.hidden_state import hidden_spectrum
    from .spectra.one_correlator import OneCorrelator
    from .time_networks.decompose import karhunen_loeve
    from .time_networks.emulate import as_network, split_network

__version__: str = build_info()["version"]

# Saved theories and theory files may name the sources of this module.
_kinds_in("nnqm.fields")

# Names that are imported at their first use, so that the import takes little time.
_LATER = {
    "OneCorrelator": "spectra.one_correlator",
    "PathFiles": "files.path_files",
    "Target": "learning.targets",
    "Trajectory": "learning.trajectory",
    "analyse": "report.analyse",
    "as_network": "time_networks.emulate",
    "average_over_weights": "exact.random_weights",
    "binned_effective_levels": "spectra.binned_paths",
    "chapman_kolmogorov": "estimators.markov",
    "check": "properties",
    "clustering": "estimators.clustering",
    "connected_four_point": "estimators.four_points",
    "effective_energy": "spectra.gevp",
    "exact_effective_levels": "spectra.binned_paths",
    "fit": "learning.fit",
    "gevp": "spectra.gevp",
    "hidden_spectrum": "spectra.hidden_state",
    "kallen_lehmann": "exact.spectral_measures",
    "karhunen_loeve": "time_networks.decompose",
    "level_energies": "exact.energies",
    "load_theory_file": "files.theory_file",
    "n_point": "exact.n_points",
    "pair_four_point": "estimators.four_points",
    "positivity_certificate": "positivity.certificate",
    "quasi_monte_carlo": "exact.quasi_monte_carlo",
    "reflection_positivity": "positivity.reflection",
    "scan": "learning.scan",
    "simulate_functions": "sampling.path_functions",
    "simulate_two_level": "runs.two_level",
    "spectrum": "spectra.correlator_matrix",
    "split_network": "time_networks.emulate",
    "thermal_measure": "exact.thermal_measures",
    "training_dynamics": "learning.dynamics",
}


def __getattr__(name: str) -> _Any:
    if name in ("fields", "interop", "learning", "pages", "plot", "results"):
        return _import_module(f".{name}", __name__)
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "fields", "interop", "learning", "pages", "plot", "results"})


__all__ = [
    "Accumulator",
    "CosineNetwork",
    "Density",
    "Estimate",
    "GradientDescent",
    "GroundStateNetwork",
    "GroundStateProcess",
    "Hamiltonian",
    "Interrupted",
    "KarhunenLoeveProcess",
    "Kernel",
    "MarkovChain",
    "Measure",
    "Network",
    "Observables",
    "OneCorrelator",
    "OrnsteinUhlenbeck",
    "PathFiles",
    "Paths",
    "RandomNetwork",
    "RunSettings",
    "Source",
    "SplittingProcess",
    "Target",
    "Theory",
    "ThermalOrnsteinUhlenbeck",
    "ThermalProcess",
    "TimeNetwork",
    "Times",
    "Trajectory",
    "Verdict",
    "accumulate",
    "analyse",
    "apply",
    "as_network",
    "autocorrelation_time",
    "average_over_weights",
    "binned_effective_levels",
    "build_info",
    "builtin_theory",
    "chapman_kolmogorov",
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
    "fields",
    "fit",
    "gevp",
    "harmonic_oscillator",
    "hidden_spectrum",
    "jackknife",
    "kallen_lehmann",
    "karhunen_loeve",
    "level_energies",
    "load",
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
    "scan",
    "simulate",
    "simulate_functions",
    "simulate_two_level",
    "spectrum",
    "split_network",
    "stable_rates",
    "thermal_measure",
    "training_dynamics",
    "uncertainty",
]
