"""A sequence of theories along a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .._arguments import integer
from ..errors import InputError, InputTypeError
from ..representation import card
from ..theories.networks import RandomNetwork
from ..theories.theory import Theory
from .checkpoints import theories_of_checkpoints

__all__ = ["Trajectory"]


@dataclass(frozen=True, repr=False)
class Trajectory:
    """Theories along a training, at increasing numbers of steps.

    Parameters
    ----------
    steps : sequence of int
        Numbers of training steps, increasing, not negative.
    theories : sequence of Theory
        One theory per entry of ``steps``.
    losses : sequence of float, optional
        Loss at each entry of ``steps``.

    Raises
    ------
    InputError, InputTypeError
        If the lengths differ, the steps do not increase, or an entry is no theory.
    """

    steps: tuple[int, ...]
    theories: tuple[Theory, ...]
    losses: tuple[float, ...] | None = None

    def __init__(self, steps: Sequence[int], theories: Sequence[Theory], losses: Sequence[float] | None = None) -> None:
        numbers = tuple(integer(f"steps[{i}]", s, 0) for i, s in enumerate(steps))
        listed = tuple(theories)
        for i, theory in enumerate(listed):
            if not isinstance(theory, Theory):
                raise InputTypeError(f"theories[{i}] must be a Theory; got {theory!r}")
        if not numbers or len(numbers) != len(listed) or (losses is not None and len(losses) != len(listed)):
            raise InputError(
                f"steps, theories and losses must have the same length, at least 1; got {len(numbers)}, {len(listed)} "
                f"and {'none' if losses is None else len(losses)}"
            )
        for i, (before, after) in enumerate(pairwise(numbers)):
            if after <= before:
                raise InputError(f"steps must increase; steps[{i + 1}]={after} <= steps[{i}]={before}")
        object.__setattr__(self, "steps", numbers)
        object.__setattr__(self, "theories", listed)
        object.__setattr__(self, "losses", None if losses is None else tuple(float(x) for x in losses))

    def __repr__(self) -> str:
        lost = "" if self.losses is None else f", loss {self.losses[0]:.4g} to {self.losses[-1]:.4g}"
        return f"Trajectory({len(self.steps)} theories, steps {self.steps[0]} to {self.steps[-1]}{lost})"

    def _repr_html_(self) -> str:
        """The states in a notebook, the later ones left out if they are many."""
        losses = self.losses or [None] * len(self.steps)
        rows = list(zip(self.steps, losses, self.theories, strict=True))
        return card(repr(self).replace("(", " (", 1), headings=("step", "loss", "theory"), rows=rows)

    def thinned(self, n: int) -> Trajectory:
        """At most n entries, the first and the last one among them, at steps in about equal ratios.

        Parameters
        ----------
        n : int
            Largest number of entries, at least 2.

        Returns
        -------
        Trajectory
        """
        count, last = integer("n", n, 2), len(self.steps) - 1
        if last < count:
            return self
        # Steps + 1, so that step 0 has a logarithm.
        logarithms = np.log1p(np.array(self.steps, dtype=np.float64))
        wanted = np.linspace(logarithms[0], logarithms[-1], count)
        nearest = np.abs(logarithms[:, None] - wanted).argmin(axis=0)
        kept = sorted({0, last, *(int(i) for i in nearest)})
        losses = None if self.losses is None else [self.losses[i] for i in kept]
        return Trajectory([self.steps[i] for i in kept], [self.theories[i] for i in kept], losses)

    @classmethod
    def of_ensemble(cls, theory: Theory, steps: Sequence[int]) -> Trajectory:
        """A trained ensemble at other numbers of steps of the same descent.

        Parameters
        ----------
        theory : Theory
            Its network is a ``RandomNetwork`` with ``training=GradientDescent(...)``.
        steps : sequence of int
            Numbers of training steps, increasing, not negative; 0 is the ensemble before the training.

        Returns
        -------
        Trajectory

        Raises
        ------
        InputError, InputTypeError
            If the network is not trained, or the steps do not increase.

        Notes
        -----
        A draw of the weights is a function of the key and the number of the group, so that all theories of the
        trajectory train the same networks.
        """
        network = theory.network
        training = getattr(network, "training", None)
        if not isinstance(network, RandomNetwork) or training is None:
            raise InputError(
                f"the theory must have a network that is trained; got {network!r}; make one with "
                "RandomNetwork(..., training=nnqm.GradientDescent(...))"
            )
        numbers = [integer(f"steps[{i}]", s, 0) for i, s in enumerate(steps)]
        trained = [network.with_training(training.at(s)) for s in numbers]
        return cls(numbers, [Theory(theory.sources, n, hbar=theory.hbar, mass=theory.mass) for n in trained])

    @classmethod
    def of_checkpoints(
        cls,
        theory: Theory,
        checkpoints: Sequence[Any],
        steps: Sequence[int] | None = None,
        *,
        activation: str | Sequence[str] | None = None,
    ) -> Trajectory:
        """Networks that another program trained, as theories with the sources of a given theory.

        Parameters
        ----------
        theory : Theory
            Its sources, hbar and mass are used, and the layers and activations of its network.
        checkpoints : sequence
            One entry per number of steps. Each is a ``Network``; a sequence of pairs (weights, biases), biases possibly
            None; a PyTorch ``state_dict`` or module; a parameter tree of JAX (a nested mapping, as Flax and Haiku have
            it, or a module with ``layers``, as Equinox has it); or the path of a .safetensors or .npz file with
            names as in a ``state_dict``. Arrays are of NumPy, PyTorch or JAX, in the memory of the CPU. Entries named
            "weight" have shape (outputs, inputs), entries named "kernel" or "w" shape (inputs, outputs). Layers whose
            names differ only in numbers are sorted by these numbers, others are taken in the order of the mapping.
        steps : sequence of int, optional
            Number of training steps of each checkpoint, increasing; by default 0, 1, 2, ...
        activation : str or sequence of str, optional
            Activation of the hidden layers, or one name per layer, if the theory has no network or another one.

        Returns
        -------
        Trajectory

        Raises
        ------
        InputError, InputTypeError
            If a checkpoint has other widths or another number of layers, weights are missing or not finite, or a file
            cannot be read; the message names the checkpoint.
        ModuleNotFoundError
            If a .safetensors file is given without the package safetensors; ``pip install safetensors`` gets it.

        Examples
        --------
        >>> theory = nnqm.Theory(nnqm.OrnsteinUhlenbeck(1.0), nnqm.Network.random((1, 2, 1), rng=1))
        >>> state = {"0.weight": [[1.0], [2.0]], "0.bias": [0.0, 0.5], "2.weight": [[0.5, -0.5]], "2.bias": [0.0]}
        >>> nnqm.Trajectory.of_checkpoints(theory, [state, theory.network], [0, 100]).steps
        (0, 100)
        """
        if not isinstance(theory, Theory):
            raise InputTypeError(f"theory must be a Theory; got {theory!r}")
        listed = list(checkpoints)
        numbers = range(len(listed)) if steps is None else steps
        return cls(numbers, theories_of_checkpoints(theory, listed, activation))
