"""Quantum fields as networks: seed processes at points of space, exact answers, observables of space and time."""

from .cos_net import CosNet
from .distinct_neurons import distinct_neurons, estimated_n_point
from .field import Field
from .neurons import NeuronField, drawn_neurons
from .periodic_box import PeriodicBox
from .reflection_positive_net import ReflectionPositiveNet
from .regulator import Regulator

__all__ = [
    "CosNet",
    "Field",
    "NeuronField",
    "PeriodicBox",
    "ReflectionPositiveNet",
    "Regulator",
    "distinct_neurons",
    "drawn_neurons",
    "estimated_n_point",
]
