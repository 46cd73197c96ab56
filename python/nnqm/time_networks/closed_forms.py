"""Karhunen-Loeve decompositions that are known in closed form."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats
from ..theories.mode_sums import Waves
from .kernels import Kernel

__all__: list[str] = []


def closed_form(kernel: Kernel, a: float, b: float, n: int) -> tuple[Floats, Waves, float] | None:
    """Eigenvalues, eigenfunctions and trace in closed form, else None (Ghanem and Spanos, section 2.3)."""
    p, T, k = dict(kernel.parameters), b - a, np.arange(1, n + 1)
    if kernel.name == "wiener" and a == 0:
        w = np.asarray((k - 0.5) * np.pi / T)
        functions = Waves(a, w, np.full(n, np.pi / 2), np.full(n, np.sqrt(2 / T)))
        return (p["sigma"] / w) ** 2, functions, p["sigma"] ** 2 * T**2 / 2
    if kernel.name == "brownian-bridge" and a == 0 and abs(b - p["duration"]) <= 1e-12 * b:
        w = np.asarray(k * np.pi / T)
        functions = Waves(a, w, np.full(n, np.pi / 2), np.full(n, np.sqrt(2 / T)))
        return (p["sigma"] / w) ** 2, functions, p["sigma"] ** 2 * T**2 / 6
    if kernel.name == "ornstein-uhlenbeck":
        omega, variance = p["omega"], p["sigma"] ** 2 / (2 * p["omega"])
        w = _ornstein_uhlenbeck_roots(omega * T, n) / T
        eigenvalues = p["sigma"] ** 2 / (omega**2 + w**2)
        amplitude = np.sqrt(2 / (T + 2 * omega / (omega**2 + w**2)))
        return eigenvalues, Waves(a, w, np.arctan2(omega, w), amplitude), variance * T
    if kernel.name == "thermal-ornstein-uhlenbeck" and abs(T - p["beta"]) <= 1e-12 * T:
        w = np.asarray(2 * np.pi * (k // 2) / T)
        amplitude = np.where(k == 1, 1.0, np.sqrt(2)) / np.sqrt(T)
        # The cosine comes first, then the sine.
        functions = Waves(a, w, np.where((k > 1) & (k % 2 == 1), np.pi / 2, 0.0), amplitude)
        return p["sigma"] ** 2 / (p["omega"] ** 2 + w**2), functions, float(kernel(0.0, 0.0)) * T
    return None


def _ornstein_uhlenbeck_roots(c: float, n: int) -> Floats:
    """Roots x_k = w_k T of x - (k - 1) pi = 2 arctan(c/x), c = omega T: even and odd modes in one equation."""
    offset: Floats = np.pi * np.arange(n, dtype=np.float64)
    x = offset
    # Left side minus right side is concave and increasing: Newton's steps from the left never pass the root.
    for _ in range(200):
        step = (x - offset - 2 * np.arctan2(c, x)) / (1 + 2 * c / (x**2 + c**2))
        x = x - step
        if np.all(np.abs(step) <= 2e-16 * x):
            break
    return x
