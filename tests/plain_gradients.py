"""Derivatives and pullbacks of networks in plain NumPy, the reference of the core."""

from math import pi, sqrt

import numpy as np


def activation(name, z):
    """Value and the first three derivatives."""
    from scipy.special import erf, expit

    one, zero = np.ones_like(z), np.zeros_like(z)
    g = np.exp(-(z**2) / 2) / sqrt(2 * pi)
    if name == "identity":
        return z, one, zero, zero
    if name == "relu":
        return np.maximum(z, 0), (z > 0) * one, zero, zero
    if name == "sin":
        return np.sin(z), np.cos(z), -np.sin(z), -np.cos(z)
    if name == "cos":
        return np.cos(z), -np.sin(z), -np.cos(z), np.sin(z)
    if name == "tanh":
        t = np.tanh(z)
        d = 1 - t**2
        return t, d, -2 * t * d, d * (6 * t**2 - 2)
    if name == "erf":
        d = 2 / sqrt(pi) * np.exp(-(z**2))
        return erf(z), d, -2 * z * d, (4 * z**2 - 2) * d
    if name == "gelu":
        c = (1 + erf(z / sqrt(2))) / 2
        return z * c, c + z * g, (2 - z**2) * g, (z**3 - 4 * z) * g
    s = expit(z)
    d = s * (1 - s)
    if name == "sigmoid":
        return s, d, d * (1 - 2 * s), d * (1 - 6 * d)
    return np.logaddexp(0, z), s, d, d * (1 - 2 * s)


def forward(network, y):
    """Layers with (inputs h, h', h'' and z, z', z'' and four derivatives); outputs."""
    h, tape = y, []
    h1 = np.broadcast_to(np.eye(y.shape[1]), (len(y), y.shape[1], y.shape[1])).transpose(0, 2, 1)  # (N, i, neuron)
    h2 = np.zeros_like(h1)
    for w, b, name in zip(network.weights, network.biases, network.activations, strict=True):
        z, z1, z2 = h @ w.T + b, h1 @ w.T, h2 @ w.T
        a = activation(name, z)
        tape.append((h, h1, h2, z1, z2, a))
        h, h1 = a[0], a[1][:, None] * z1
        h2 = a[2][:, None] * z1**2 + a[1][:, None] * z2
    return h, h1, h2, tape


def derivatives(network, y):
    h, h1, h2, _ = forward(network, y)
    return h, h1.transpose(0, 2, 1), h2.transpose(0, 2, 1)


def pullback(network, y, u, v, w):
    tape = forward(network, y)[3]
    g, g1, g2 = u, v.transpose(0, 2, 1), w.transpose(0, 2, 1)
    parts = []
    for (h, h1, h2, z1, z2, a), weights in zip(tape[::-1], network.weights[::-1], strict=True):
        one, two, three = (d[:, None] for d in a[1:])
        gz = g * a[1] + (g1 * two * z1 + g2 * (three * z1**2 + two * z2)).sum(axis=1)
        gz1 = g1 * one + 2 * g2 * two * z1
        gz2 = g2 * one
        gw = gz.T @ h + np.einsum("nio,nij->oj", gz1, h1) + np.einsum("nio,nij->oj", gz2, h2)
        parts += [gz.sum(axis=0), gw.ravel()]
        g, g1, g2 = gz @ weights, gz1 @ weights, gz2 @ weights
    return np.concatenate(parts[::-1]), g
