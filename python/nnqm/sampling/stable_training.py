"""Stability of the training of random networks."""

from __future__ import annotations

import numpy as np

from .._arguments import Floats
from ..errors import InputError
from ..theories.networks import RandomNetwork
from ..theories.training import GradientDescent, descent_factors

__all__: list[str] = []


def largest_rates(network: RandomNetwork, training: GradientDescent, groups: range, key: int, negative: bool) -> Floats:
    """Largest stable rates of the networks of given groups of paths before their training; see ``stable_rates``."""
    factors = descent_factors(training, network.widths, network.weight_std, network.bias_std, network.shared)
    scale, one = np.sqrt(factors), np.eye(network.n_outputs)
    rates = []
    for start in network.with_training(None).draw(groups, key, negative=negative):
        rows = []
        for c in range(network.n_outputs):
            gradients = [start.pullback(point[None], one[c : c + 1])[0] for point in training.points]
            if network.shared is not None:
                # The output of a split network is W h(|t|) - W h(0) + b.
                zero = start.pullback(np.zeros((1, 1)), one[c : c + 1])[0]
                gradients = [gradient - zero for gradient in gradients]
            rows += [g * scale * np.sqrt(w) for g, w in zip(gradients, training.weights, strict=True)]
        largest = float(np.linalg.norm(np.stack(rows), 2)) ** 2
        rates.append(2 / largest if largest > 0 else np.inf)
    return np.array(rates)


def need_stable_training(network: object, key: int, precision: str, paths: range) -> None:
    """Raise an error if the training of a network that given paths draw diverges.

    It diverges if its loss or a weight is not finite, or if its loss exceeds a million times the sum of the first loss
    and the loss of a vanishing output. Nothing happens without a training.
    """
    if not isinstance(network, RandomNetwork) or network.training is None or not network.is_trained:
        return
    training = network.training
    groups = range(paths.start // network.group, (paths.stop - 1) // network.group + 1)
    for negative in (False,) if network.shared is None else (False, True):
        bad = np.flatnonzero(~np.isfinite(network.draw_parameters(groups, key, negative, precision)).all(axis=1))
        if not bad.size:
            continue
        group = groups.start + int(bad[0])
        only = range(group, group + 1)
        whole, broken = 0, training.steps
        while broken - whole > 1:
            middle = (whole + broken) // 2
            shorter = network.with_training(training.at(middle))
            if np.isfinite(shorter.draw_parameters(only, key, negative, precision, 1)).all():
                whole = middle
            else:
                broken = middle
        largest = largest_rates(network, training, only, key, negative)[0]
        remedy = f"use a smaller rate, below {largest:.2g}"
        if largest > training.rate:
            remedy = "use a smaller rate: this one is stable at the start, but not further on"
        raise InputError(
            f"the training of network {group}{' for t < 0' if negative else ''} diverges at step {broken} of "
            f"{training.steps} in {precision}: rate={training.rate:g}, and the largest stable rate of this network at "
            f"its start is {largest:.3g}",
            remedy,
        )
