"""Integrated autocorrelation times."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats

__all__ = ["INDEPENDENT", "autocorrelation_time"]

# Smallest length of an independent block of a Markov chain or trajectory, in autocorrelation times.
INDEPENDENT = 20.0


def autocorrelation_time(series: Floats) -> float:
    r"""Integrated autocorrelation time of a series in steps, 1/2 + sum of the autocorrelations.

    The window is chosen self-consistently as five times the result (Sokal; Wolff, Comput. Phys. Commun. 156, 143
    (2004)).
    """
    x = np.asarray(series, dtype=np.float64) - np.mean(series)
    n = len(x)
    if n < 2 or not np.any(x):
        return 0.5
    padded = 1 << (2 * n - 1).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(x, padded)) ** 2)[:n]
    tau = 0.5 + np.cumsum(correlation[1:] / correlation[0])
    window = np.flatnonzero(np.arange(1, n) >= 5 * tau)
    return float(max(0.5, tau[window[0]] if window.size else tau.max()))
