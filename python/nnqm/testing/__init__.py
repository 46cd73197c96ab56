"""Tests of your own theories: Hypothesis strategies, and ready properties.

``import nnqm.testing`` needs Hypothesis; ``pip install 'nnqm[testing]'`` gets it.
"""

try:
    import hypothesis as _hypothesis  # noqa: F401
except ImportError as _error:
    raise ImportError("nnqm.testing needs Hypothesis: pip install 'nnqm[testing]'") from _error

from .assertions import (
    assert_bits_do_not_depend_on_threads,
    assert_extend_equals_one_run,
    assert_markov,
    assert_positive,
    assert_reversible,
    assert_sampled_agrees_with_exact,
    assert_saved_and_loaded_is_the_same,
    assert_stationary,
    assert_theory,
)
from .data_strategies import KnownCorrelator, UserPaths, correlators, grids, user_paths
from .network_strategies import networks, random_networks, theories
from .sampled import PropertySettings
from .source_strategies import hamiltonians, kernels, potentials, sources

__all__ = [
    "KnownCorrelator",
    "PropertySettings",
    "UserPaths",
    "assert_bits_do_not_depend_on_threads",
    "assert_extend_equals_one_run",
    "assert_markov",
    "assert_positive",
    "assert_reversible",
    "assert_sampled_agrees_with_exact",
    "assert_saved_and_loaded_is_the_same",
    "assert_stationary",
    "assert_theory",
    "correlators",
    "grids",
    "hamiltonians",
    "kernels",
    "networks",
    "potentials",
    "random_networks",
    "sources",
    "theories",
    "user_paths",
]
