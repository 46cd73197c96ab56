"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .cos_net import CosNet
from .field import Field
from .periodic_box import PeriodicBox
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

__all__ = ["CosNet", "Field", "PeriodicBox", "ReflectionPositiveNet", "Regulator"]
