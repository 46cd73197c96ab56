"""Results as plain data, which JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np

from ..verdict import Verdict
from .estimate import Estimate

__all__: list[str] = []


def plain(value: Any) -> Any:
    """A value as dicts, lists, texts, numbers, truth values and None.

    Numbers keep all their digits; one that is not finite is None, because JSON has no word for it. A verdict becomes
    its name, for example "NOT_RESOLVED"; an estimate has the keys "value", "error" (statistical), "systematic_error".

    Examples
    --------
    >>> plain({"gap": np.float64(1.5), "limit": float("nan"), "verdict": Verdict.NOT_RESOLVED})
    {'gap': 1.5, 'limit': None, 'verdict': 'NOT_RESOLVED'}
    """
    if isinstance(value, Estimate):
        return plain({"value": value.value, "error": value.error, "systematic_error": value.systematic})
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Enum):
        return value.name if isinstance(value, Verdict) else plain(value.value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [plain(entry) for entry in value]
    raise TypeError(f"a {type(value).__name__} is no plain data")
