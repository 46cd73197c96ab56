"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .cos_net import CosNet
from .field import Field
from .finite_width import NPointFunction, moments_of_sum, n_point
from .periodic_box import PeriodicBox
from .propagators import ExactValue, propagator
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

__all__ = [
    "CosNet",
    "ExactValue",
    "Field",
    "NPointFunction",
    "PeriodicBox",
    "ReflectionPositiveNet",
    "Regulator",
    "moments_of_sum",
    "n_point",
    "propagator",
]
