"""Tests of a process of your own
==============================

A process as a class with three members, and its tests with ``nnqm.testing``. Run it by
``python -m pytest test_my_process.py``. Needs Hypothesis: ``pip install 'nnqm[testing]'``.
"""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import nnqm
from nnqm.testing import assert_sampled_agrees_with_exact, assert_theory, networks


@dataclass(frozen=True)
class Telegraph(nnqm.Source):
    """Random telegraph process: +height or -height, with flips at a rate."""

    kind = "my-telegraph"

    rate: float
    height: float = 1.0

    @property
    def variance(self):
        return np.array([self.height**2])

    @property
    def natural_step(self):
        return 0.1 / self.rate

    def compiled(self, times):
        dt = times[1] - times[0] if len(times) > 1 else self.natural_step
        flip = -np.expm1(-2 * self.rate * dt) / 2
        chain = nnqm.MarkovChain([-self.height, self.height], [[1 - flip, flip], [flip, 1 - flip]], dt)
        return chain.compiled(times)


telegraphs = st.builds(Telegraph, rate=st.floats(0.2, 5.0), height=st.floats(0.5, 2.0))


@settings(max_examples=5, deadline=None)
@given(telegraphs)
def test_it_is_a_quantum_theory(process):
    assert_theory(nnqm.Theory(process), markov=True)


@settings(max_examples=5, deadline=None)
@given(telegraphs, networks(n_inputs=1, activations=["tanh"]))
def test_networks_of_it_are_quantum_theories(process, network):
    assert_theory(nnqm.Theory(process, network))


@settings(max_examples=20, deadline=None)
@given(telegraphs)
def test_its_correlator(process):
    theory = nnqm.Theory(process)
    assert_sampled_agrees_with_exact(theory, lambda t: process.height**2 * np.exp(-2 * process.rate * t))
