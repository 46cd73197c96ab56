"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from .cos_net import CosNet
from .field import Field
from .periodic_box import PeriodicBox
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

if _TYPE_CHECKING:
    from .correlators import DistanceCorrelator, MomentumCorrelator, correlator_by_distance, correlator_by_momentum
    from .dispersions import Dispersion, dispersion, momentum_run
    from .distinct_estimators import distinct_neurons, estimated_n_point
    from .energies import ParticleLevels, particle_levels, thresholds
    from .finite_width import NPointFunction, moments_of_sum, n_point
    from .generating_functionals import generating_functional
    from .networks import convolution, momentum_projection, pointwise, single_point
    from .neurons import NeuronField, drawn_neurons
    from .pointwise_field import PointwiseField
    from .propagators import ExactValue, propagator

# Names that are imported at their first use. The classes of fields are imported at once, because saved runs and theory
# files name them.
_LATER = {
    "Dispersion": "dispersions",
    "DistanceCorrelator": "correlators",
    "ExactValue": "propagators",
    "MomentumCorrelator": "correlators",
    "NPointFunction": "finite_width",
    "NeuronField": "neurons",
    "ParticleLevels": "energies",
    "PointwiseField": "pointwise_field",
    "convolution": "networks",
    "correlator_by_distance": "correlators",
    "correlator_by_momentum": "correlators",
    "dispersion": "dispersions",
    "distinct_neurons": "distinct_estimators",
    "drawn_neurons": "neurons",
    "estimated_n_point": "distinct_estimators",
    "generating_functional": "generating_functionals",
    "moments_of_sum": "finite_width",
    "momentum_projection": "networks",
    "momentum_run": "dispersions",
    "n_point": "finite_width",
    "particle_levels": "energies",
    "pointwise": "networks",
    "propagator": "propagators",
    "single_point": "networks",
    "thresholds": "energies",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_import_module(f".{_LATER[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "CosNet",
    "Dispersion",
    "DistanceCorrelator",
    "ExactValue",
    "Field",
    "MomentumCorrelator",
    "NPointFunction",
    "NeuronField",
    "ParticleLevels",
    "PeriodicBox",
    "PointwiseField",
    "ReflectionPositiveNet",
    "Regulator",
    "convolution",
    "correlator_by_distance",
    "correlator_by_momentum",
    "dispersion",
    "distinct_neurons",
    "drawn_neurons",
    "estimated_n_point",
    "generating_functional",
    "moments_of_sum",
    "momentum_projection",
    "momentum_run",
    "n_point",
    "particle_levels",
    "pointwise",
    "propagator",
    "single_point",
    "thresholds",
]
