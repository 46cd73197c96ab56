"""Regulators of momentum integrals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._arguments import Floats, choice, positive
from ..errors import InputError, InputTypeError

__all__ = ["Regulator"]

_KINDS = ("gaussian", "hard", "none")


@dataclass(frozen=True, init=False)
class Regulator:
    r"""A factor f(k) that cuts momentum integrals off at large, and possibly at small, momenta.

    Parameters
    ----------
    kind : {"gaussian", "hard", "none"}
        :math:`f = e^{-k^2/2\Lambda^2}`; 1 for :math:`k_0 \le |k| \le \Lambda` and 0 elsewhere; or 1.
    cutoff : float, optional
        :math:`\Lambda`, unit of momentum, positive; for "gaussian" and "hard" only.
    lower : float, default 0
        :math:`k_0`, unit of momentum, below the cutoff; for "hard" only.
    spatial : bool, default False
        Whether k is the spatial momentum, so that frequencies are not cut off. By default k has all d components.

    Raises
    ------
    InputError
        If the kind is unknown, or a cutoff is missing, superfluous or not positive.

    Examples
    --------
    >>> Regulator("gaussian", 100.0)
    Regulator('gaussian', 100)
    """

    kind: str
    cutoff: float
    lower: float
    spatial: bool

    def __init__(
        self, kind: str = "none", cutoff: float | None = None, *, lower: float = 0.0, spatial: bool = False
    ) -> None:
        choice("kind", kind, _KINDS)
        if (kind == "none") != (cutoff is None):
            needs = "none" if kind == "none" else "a positive number"
            raise InputError(f"cutoff of the regulator {kind!r} must be {needs}; got {cutoff!r}")
        if not isinstance(spatial, bool):
            raise InputTypeError(f"spatial must be True or False; got {spatial!r}")
        end = np.inf if cutoff is None else positive("cutoff", cutoff)
        start = 0.0 if lower == 0 else positive("lower", lower)
        if start and (kind != "hard" or start >= end):
            raise InputError(f"lower must be 0, or below the cutoff of a hard regulator; got {lower} for {kind!r}")
        for name, value in (("kind", kind), ("cutoff", end), ("lower", start), ("spatial", spatial)):
            object.__setattr__(self, name, value)

    def __call__(self, k: Floats) -> Floats:
        """The factor f at momenta of magnitude k.

        Parameters
        ----------
        k : ndarray
            Any shape, unit of momentum, not negative.

        Returns
        -------
        ndarray
            Shape of k.
        """
        if self.kind == "gaussian":
            return np.asarray(np.exp(-0.5 * (k / self.cutoff) ** 2))
        return np.asarray((k >= self.lower) & (k <= self.cutoff), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``."""
        data: dict[str, Any] = {"kind": self.kind}
        if self.kind != "none":
            data["cutoff"] = self.cutoff
        return {**data, "lower": self.lower, "spatial": self.spatial}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Regulator:
        """The regulator that ``to_dict`` described, or a table of a theory file."""
        unknown = sorted(set(data) - {"kind", "cutoff", "lower", "spatial"})
        if unknown:
            raise InputError(f"regulator has no key {unknown[0]!r}; it takes kind, cutoff, lower and spatial")
        return cls(**data)

    def __repr__(self) -> str:
        numbers = f", {self.cutoff:g}" if self.kind != "none" else ""
        lower = f", lower={self.lower:g}" if self.lower else ""
        return f"Regulator({self.kind!r}{numbers}{lower}{', spatial=True' if self.spatial else ''})"
