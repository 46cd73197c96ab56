"""Probability densities of random weights, by name, and their moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import Floats, choice, generator_of, positive
from .._memory import need_memory
from ..errors import InputError

__all__ = ["Density"]

_NAMES = ("gaussian", "uniform", "laplace", "rademacher", "student-t", "cauchy")
_KURTOSIS = {"gaussian": 0.0, "uniform": -1.2, "laplace": 3.0, "rademacher": -2.0}
_ORDINALS = {1: "mean", 2: "variance", 4: "fourth moment"}


@dataclass(frozen=True)
class Density:
    r"""A symmetric density of one real variable on a fixed scale.

    Densities with a finite variance are scaled to variance 1. The Cauchy density :math:`1/(\pi(1 + x^2))`, of
    half-width 1, and Student's t with nu <= 2 have no finite variance and keep their usual form.

    Parameters
    ----------
    name : {"gaussian", "uniform", "laplace", "rademacher", "student-t", "cauchy"}
        Rademacher is +1 or -1 with equal probability.
    nu : float, optional
        Degrees of freedom of Student's t, positive; not allowed for other densities.

    Raises
    ------
    InputError
        If the name is unknown, nu is missing or not positive, or nu is given for a density other than Student's t.

    Examples
    --------
    >>> Density("student-t", nu=6).kurtosis
    3.0
    >>> Density("cauchy").moment_exists(2)
    False
    """

    name: str
    nu: float | None = None

    def __post_init__(self) -> None:
        choice("density", self.name, _NAMES)
        if self.name == "student-t":
            if self.nu is None:
                raise InputError("nu must be given for student-t: Density('student-t', nu=5)")
            object.__setattr__(self, "nu", positive("nu", self.nu))
        elif self.nu is not None:
            raise InputError(f"nu belongs to student-t only; got nu={self.nu} with {self.name}; leave it out")

    @property
    def scale(self) -> float:
        """Factor between the usual form of the density and this one: sqrt((nu - 2)/nu) for Student's t, nu > 2."""
        return 1.0 if self.nu is None or self.nu <= 2 else float(np.sqrt((self.nu - 2) / self.nu))

    @property
    def variance_factor(self) -> float:
        """Variance on this scale, 1 or infinity."""
        return 1.0 if self.moment_exists(2) else np.inf

    @property
    def kurtosis(self) -> float:
        """Excess kurtosis, infinite without a fourth moment; for variance 1 it equals the fourth cumulant."""
        if not self.moment_exists(4):
            return np.inf
        return _KURTOSIS[self.name] if self.nu is None else 6 / (self.nu - 4)

    def moment_exists(self, order: float) -> bool:
        """Whether E|x|^order is finite.

        Parameters
        ----------
        order : float

        Returns
        -------
        bool
        """
        if self.name == "cauchy":
            return order < 1
        return self.nu is None or order < self.nu

    def need_moment(self, order: int, what: str) -> None:
        """Raise an error if E|x|^order is infinite.

        Parameters
        ----------
        order : int
            Order of the moment.
        what : str
            Result that needs the moment, for the message.

        Raises
        ------
        InputError
            If the moment is infinite.
        """
        if not self.moment_exists(order):
            cure = f"nu > {order}" if self.nu is not None else "another density"
            raise InputError(f"{what} needs a density with a {_ORDINALS[order]}", f"{self} has none; use {cure}")

    def characteristic(self, t: ArrayLike) -> Floats:
        r"""Characteristic function E cos(x t).

        For Student's t it is :math:`K_{\nu/2}(z)\,z^{\nu/2}/(\Gamma(\nu/2)\,2^{\nu/2-1})` with z = sqrt(nu) \|t\| times
        the scale (Hurst, The characteristic function of the Student t distribution, ANU report SRR 95-044 (1995)).

        Parameters
        ----------
        t : array_like
            Any shape.

        Returns
        -------
        ndarray
            Shape of t. Accurate to 1e-15; to 1e-13 for Student's t with nu < 2.
        """
        t = np.abs(np.asarray(t, dtype=np.float64))
        if self.name == "gaussian":
            return np.asarray(np.exp(-(t**2) / 2))
        if self.name == "uniform":
            return np.asarray(np.sinc(np.sqrt(3) * t / np.pi))
        if self.name == "laplace":
            return np.asarray(1 / (1 + t**2 / 2))
        if self.name == "rademacher":
            return np.asarray(np.cos(t))
        if self.nu is None:
            return np.asarray(np.exp(-t))
        return _student(self.nu / 2, np.sqrt(self.nu) * self.scale * t)

    def sample(self, shape: int | tuple[int, ...], rng: int | np.random.Generator) -> Floats:
        """Random numbers from the density, by NumPy.

        Parameters
        ----------
        shape : int or tuple of int
        rng : int or Generator

        Returns
        -------
        ndarray
            Of the given shape.
        """
        need_memory(8.0 * prod(shape) if isinstance(shape, tuple) else 8.0 * shape, "the numbers", "draw fewer at once")
        generator = generator_of(rng)
        if self.name == "gaussian":
            return generator.standard_normal(shape)
        if self.name == "uniform":
            return generator.uniform(-np.sqrt(3), np.sqrt(3), shape)
        if self.name == "laplace":
            return generator.laplace(0.0, np.sqrt(0.5), shape)
        if self.name == "rademacher":
            return generator.choice([-1.0, 1.0], shape)
        if self.nu is None:
            return generator.standard_cauchy(shape)
        return np.asarray(self.scale * generator.standard_t(self.nu, shape))

    @property
    def core_name(self) -> tuple[str, float]:
        """Name and nu in the core, where the Cauchy density is Student's t with nu = 1."""
        return ("student-t", 1.0) if self.name == "cauchy" else (self.name, self.nu or 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the input of ``from_dict``.

        Returns
        -------
        dict
        """
        return {"name": self.name} | ({} if self.nu is None else {"nu": self.nu})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Density:
        """The density that ``to_dict`` described.

        Parameters
        ----------
        data : mapping
            Output of ``to_dict``.

        Returns
        -------
        Density
        """
        return cls(data["name"], data.get("nu"))

    def __str__(self) -> str:
        return self.name if self.nu is None else f"{self.name} with nu={self.nu:g}"


def _student(half: float, z: Floats) -> Floats:
    """K_half(z) z^half/(Gamma(half) 2^(half-1)) for z >= 0, without overflow; 1 at z = 0."""
    if half < 1:
        from scipy.special import gamma, kve

        # kve overflows at the smallest numbers, where the product is 1 to rounding.
        safe = np.maximum(z, 1e-290)
        return np.where(z > 0, kve(half, safe) * np.exp(-safe) * safe**half / (gamma(half) * 2 ** (half - 1)), 1.0)
    # 2 K is the integral of exp(half u - z cosh u) over the real line. The distance d of u from the maximum turns the
    # integrand into exp(-half (e^d - 1 - d) - rise (cosh d - 1)), rise = hypot(half, z) - half, up to a factor. The
    # trapezoid rule is exact to rounding.
    width = 1 / np.sqrt(half)
    nodes = np.arange(-(43 / half + 3) if half < 4 else -21 * width, 9 * width, width / 10)
    rise = z**2 / (np.hypot(half, z) + half)
    total, at_zero = np.zeros_like(z), 0.0
    for d in nodes:
        weight = np.exp(-half * (np.expm1(d) - d))
        total += weight * np.exp(-rise * (np.cosh(d) - 1))
        at_zero += weight
    return np.asarray(np.exp(half * np.log1p(rise / (2 * half)) - rise) * total / at_zero)
