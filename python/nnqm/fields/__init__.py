"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .cos_net import CosNet
from .field import Field
from .networks import convolution, momentum_projection, pointwise, single_point
from .particle_levels import ParticleLevels, particle_levels, thresholds
from .periodic_box import PeriodicBox
from .pointwise_field import PointwiseField
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

__all__ = [
    "CosNet",
    "Field",
    "ParticleLevels",
    "PeriodicBox",
    "PointwiseField",
    "ReflectionPositiveNet",
    "Regulator",
    "convolution",
    "momentum_projection",
    "particle_levels",
    "pointwise",
    "single_point",
    "thresholds",
]
