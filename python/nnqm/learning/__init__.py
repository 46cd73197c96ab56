"""Learning: gradients of exact observables, fits, trained ensembles, and theories designed to order."""

from ..quantum.darboux import DarbouxPotential
from .differentiate import differentiate
from .frameworks import jax_observable, torch_observable
from .infinite_width import InfiniteWidth, LinearModel
from .inverse_design import adjusted, ground_state_network, hamiltonian_with_gaps
from .observables import Commutator, Gaps, Moments, MomentumSquared, NPoint, SpectralWeights, TwoPoint
from .parameters import learnable
from .spectral_flow import SpectralFlow

__all__ = [
    "Commutator",
    "DarbouxPotential",
    "Gaps",
    "InfiniteWidth",
    "LinearModel",
    "Moments",
    "MomentumSquared",
    "NPoint",
    "SpectralFlow",
    "SpectralWeights",
    "TwoPoint",
    "adjusted",
    "differentiate",
    "ground_state_network",
    "hamiltonian_with_gaps",
    "jax_observable",
    "learnable",
    "torch_observable",
]
