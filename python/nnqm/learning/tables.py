"""The physics of several theories as arrays and as a dataset of xarray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arguments import Floats
from .physics import NUMBERS, OF_LEVELS, Physics

if TYPE_CHECKING:
    from xarray import Dataset

__all__: list[str] = []

# Smallest weight of a level that is seen, in errors.
_SEEN = 3.0

# Description and unit of each variable.
_MEANING = {
    "variance": ("variance of x", "[x]^2"),
    "kurtosis": ("excess kurtosis of x", "1"),
    "commutator": ("[x, p]/(i hbar), dt -> 0", "1"),
    "uncertainty": ("dx dp, dt -> 0", "action"),
    "gap": ("E_n - E_0", "energy"),
    "weight": ("|<0|x|n>|^2, summed over the states of a level", "[x]^2"),
}


def arrays_of(physics: Sequence[Physics], name: str) -> tuple[Floats, Floats, NDArray[Any]]:
    """Values, errors and origins of one quantity, shape (theories,), or (theories, levels)."""
    rows = [found.numbers[name] for found in physics]
    values = np.array([[q.value for q in row] for row in rows])
    errors = np.array([[q.error for q in row] for row in rows])
    origins = np.array([[str(q.origin) for q in row] for row in rows])
    if name in OF_LEVELS:
        return values, errors, origins
    return values[:, 0], errors[:, 0], origins[:, 0]


def dataset_of(
    physics: Sequence[Physics], coordinates: Mapping[str, NDArray[Any]], shape: tuple[int, ...], key: int
) -> Dataset:
    """A dataset over the dimensions of ``coordinates``, of the given shape, and ``level``."""
    import xarray

    dimensions = tuple(coordinates)
    variables: dict[str, Any] = {}
    for name in (*NUMBERS, *OF_LEVELS):
        meaning, unit = _MEANING[name]
        more = ("level",) if name in OF_LEVELS else ()
        values, errors, origins = (a.reshape(*shape, *a.shape[1:]) for a in arrays_of(physics, name))
        variables[name] = ((*dimensions, *more), values, {"long_name": meaning, "units": unit})
        variables[f"{name}_error"] = ((*dimensions, *more), errors, {"long_name": f"error of {meaning}", "units": unit})
        variables[f"{name}_origin"] = ((*dimensions, *more), origins, {"long_name": f"origin of {meaning}"})
    seen = variables["weight"][1] > _SEEN * variables["weight_error"][1]
    variables["seen"] = ((*dimensions, "level"), seen, {"long_name": "weight exceeds zero by three errors"})
    p_values = np.array([found.p_value for found in physics]).reshape(shape)
    verdicts = np.array([str(found.verdict) for found in physics]).reshape(shape)
    reasons = np.array([found.reason for found in physics]).reshape(shape)
    variables["p_value"] = (dimensions, p_values, {"long_name": "p-value of reflection positivity", "units": "1"})
    variables["positivity"] = (dimensions, verdicts, {"long_name": "verdict on reflection positivity"})
    variables["reason"] = (dimensions, reasons, {"long_name": "reason of the verdict, or of missing values"})
    n_levels = len(physics[0].numbers["gap"])
    coords = {**{name: (name, values) for name, values in coordinates.items()}, "level": np.arange(1, n_levels + 1)}
    return xarray.Dataset(variables, coords=coords, attrs={"key": str(key)})
