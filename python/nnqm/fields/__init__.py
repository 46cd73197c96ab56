"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .correlators import DistanceCorrelator, MomentumCorrelator, correlator_by_distance, correlator_by_momentum
from .cos_net import CosNet
from .dispersion import Dispersion, dispersion, momentum_run
from .distinct_neurons import distinct_neurons, estimated_n_point
from .field import Field
from .finite_width import NPointFunction, moments_of_sum, n_point
from .generating_functional import generating_functional
from .networks import convolution, momentum_projection, pointwise, single_point
from .neurons import NeuronField, drawn_neurons
from .particle_levels import ParticleLevels, particle_levels, thresholds
from .periodic_box import PeriodicBox
from .pointwise_field import PointwiseField
from .propagators import ExactValue, propagator
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

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
