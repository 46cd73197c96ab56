"""Immutable objects: equal, hashed and pickled by what they are made from."""

import copy
import pickle

import numpy as np
import pytest

import nnqm
from nnqm.theories.immutable import Immutable

WELL = nnqm.Hamiltonian([0.0, 0.0, 0.5])
FLIP = [[0.9, 0.1], [0.1, 0.9]]


def modes(n=3):
    return nnqm.karhunen_loeve(nnqm.Kernel.wiener(), (0.0, 1.0), n)


# What makes the object, and what makes another of the same class.
PAIRS = {
    "chain": (lambda: nnqm.MarkovChain([-1.0, 1.0], FLIP, 0.5), lambda: nnqm.MarkovChain([-1.0, 1.1], FLIP, 0.5)),
    "ground state": (lambda: nnqm.GroundStateProcess(WELL), lambda: nnqm.GroundStateProcess(WELL, 2)),
    "thermal": (lambda: nnqm.ThermalProcess(WELL, 2.0), lambda: nnqm.ThermalProcess(WELL, 2.5)),
    "thermal OU": (
        lambda: nnqm.ThermalOrnsteinUhlenbeck(1.0, beta=2.0),
        lambda: nnqm.ThermalOrnsteinUhlenbeck(1.0, 1.5, beta=2.0),
    ),
    "modes": (lambda: nnqm.KarhunenLoeveProcess(modes()), lambda: nnqm.KarhunenLoeveProcess(modes(), "laplace")),
    "rows": (
        lambda: nnqm.KarhunenLoeveProcess(modes(), rows=np.eye(3)),
        lambda: nnqm.KarhunenLoeveProcess(modes(), rows=np.eye(3), independent=True),
    ),
    "splitting": (lambda: nnqm.SplittingProcess(modes(2), modes()), lambda: nnqm.SplittingProcess(modes(1), modes())),
    "network": (
        lambda: nnqm.Network([np.ones((80, 1)), np.ones((1, 80))]),
        lambda: nnqm.Network([np.ones((80, 1)), [[*np.ones(79), 2.0]]]),
    ),
    "random network": (
        lambda: nnqm.RandomNetwork((1, 4, 1), weights=["gaussian", "laplace"]),
        lambda: nnqm.RandomNetwork((1, 4, 1), weights=["gaussian", "laplace"], group=8),
    ),
    "training": (
        lambda: nnqm.GradientDescent([0.0, 1.0], [[1.0], [2.0]], 0.1, 5),
        lambda: nnqm.GradientDescent([0.0, 1.0], [[1.0], [2.5]], 0.1, 5),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_an_object_is_what_it_is_made_from(name):
    make, make_other = PAIRS[name]
    made, other = make(), make_other()
    assert isinstance(made, Immutable)
    for again in (make(), pickle.loads(pickle.dumps(made)), copy.deepcopy(made), type(made)(**made.contents())):
        assert again == made
        assert hash(again) == hash(made)
        assert repr(again) == repr(made)
    assert made != other
    assert made != "something else"
    with pytest.raises(AttributeError, match=f"{type(made).__name__} is immutable; make a new one instead of setting"):
        made.n_inputs = 3


def test_arrays_of_an_object_cannot_be_written():
    chain = PAIRS["chain"][0]()
    for array in (chain.values, chain.transitions, chain.law, PAIRS["rows"][0]().rows):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_zero_has_one_hash():
    first, second = nnqm.Network([[[0.0]]]), nnqm.Network([[[-0.0]]])
    assert first == second
    assert hash(first) == hash(second)
