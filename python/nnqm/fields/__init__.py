"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .cos_net import CosNet
from .field import Field
from .periodic_box import PeriodicBox
from .propagators import ExactValue, propagator
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

__all__ = ["CosNet", "ExactValue", "Field", "PeriodicBox", "ReflectionPositiveNet", "Regulator", "propagator"]
