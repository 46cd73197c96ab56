"""Interoperation: estimates, results and networks of nnqm to and from other packages.

Each package is imported when a function needs it.
"""

from .chains import from_arviz, to_arviz
from .estimates import from_gvar, from_pyerrors, from_uncertainties, to_gvar, to_pyerrors, to_uncertainties
from .modules import from_equinox, from_flax, from_torch, to_equinox, to_flax, to_torch
from .network_files import from_onnx, from_safetensors, to_onnx, to_safetensors
from .resampling import from_bootstrap, from_jackknife, to_bootstrap, to_jackknife
from .tables import to_pandas, to_xarray

__all__ = [
    "from_arviz",
    "from_bootstrap",
    "from_equinox",
    "from_flax",
    "from_gvar",
    "from_jackknife",
    "from_onnx",
    "from_pyerrors",
    "from_safetensors",
    "from_torch",
    "from_uncertainties",
    "to_arviz",
    "to_bootstrap",
    "to_equinox",
    "to_flax",
    "to_gvar",
    "to_jackknife",
    "to_onnx",
    "to_pandas",
    "to_pyerrors",
    "to_safetensors",
    "to_torch",
    "to_uncertainties",
    "to_xarray",
]
