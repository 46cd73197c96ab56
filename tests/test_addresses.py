"""Bits depend on values and shapes, not on where arrays lie in memory."""

import numpy as np
import pytest

import nnqm
from nnqm.statistics.matrices import eigenstates, eigenvalues, generalised_eigenstates, product

CACHE_LINE = 64


def placed(array, offset):
    """A copy that begins ``offset`` bytes after an address divisible by 64."""
    memory = np.empty(array.nbytes + 2 * CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE + offset
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    assert copy.ctypes.data % CACHE_LINE == offset
    return copy


def assert_same_bits(function, *arrays, offsets=range(CACHE_LINE)):
    """Every array is moved by each offset, alone and with the others."""
    expected = function(*(placed(a, 0) for a in arrays))
    for offset in offsets:
        for k in range(len(arrays) + 1):
            moved = [placed(a, offset if k in (i, len(arrays)) else 0) for i, a in enumerate(arrays)]
            found = function(*moved)
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True)), (offset, k)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 5), (8, 8, 3), (2, 5, 8), (1, 30, 1), (7, 1, 9), (20, 20, 20)])
def test_products(shape):
    rows, inner, columns = shape
    rng = np.random.default_rng(1)
    a, b, c = (rng.standard_normal(s) for s in ((3, rows, inner), (3, inner, columns), (columns, inner)))
    assert_same_bits(lambda x, y, z: (product(x, y), product(x, z.T)), a, b, c)


@pytest.mark.parametrize("size", [1, 4, 7, 40])
def test_eigenstates(size):
    root, matrix = np.random.default_rng(2).standard_normal((2, 2, size, size))
    metric, symmetric = root @ np.swapaxes(root, -1, -2) + np.eye(size), matrix + np.swapaxes(matrix, -1, -2)

    def solutions(metric, matrix):
        return (eigenvalues(matrix), *eigenstates(matrix), *generalised_eigenstates(metric, matrix))

    assert_same_bits(solutions, metric, symmetric, offsets=(1, *range(4, CACHE_LINE, 12)))


def test_bits_that_depend_on_an_address_are_found():
    # Negative control.
    with pytest.raises(AssertionError):
        assert_same_bits(lambda a: (a.ctypes.data % 16,), np.ones(2))


THEORY = nnqm.Theory(nnqm.OrnsteinUhlenbeck([1.0, 2.0]), nnqm.Network.random((2, 5, 3), rng=1))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_paths_and_their_sums(precision):
    expected = nnqm.sample_paths(THEORY, 70, 9, 0.3, rng=1, precision=precision)
    # Places that are aligned to their numbers only are accepted.
    for offset in range(0, CACHE_LINE, expected.itemsize):
        out = placed(np.zeros_like(expected), offset)
        assert np.array_equal(nnqm.sample_paths(THEORY, 70, 9, 0.3, rng=1, precision=precision, out=out), expected)

    columns = nnqm.default_observables((np.zeros(3), np.ones(3), THEORY.outputs), order=1, neurons=0)

    def sums(paths):
        return nnqm.accumulate(paths, 0.3, measure=nnqm.Measure(observables=columns, two_time=True)).sums.values()

    assert_same_bits(sums, expected, offsets=(1, 4, 8, 32))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_networks_along_paths(precision):
    inputs = nnqm.sample_paths(THEORY, 70, 9, 0.3, rng=1, precision=precision, channels=["y1", "y2"])
    values = np.random.default_rng(3).standard_normal((70, 9, 3)).astype(precision)
    network, drawn = THEORY.network, nnqm.RandomNetwork((2, 5, 3))
    offsets = (1, 4, 8, 32)
    assert_same_bits(lambda y: (nnqm.apply(network, y), nnqm.apply(drawn, y, key=1)), inputs, offsets=offsets)
    assert_same_bits(lambda y, u: (*network.derivatives(y), *network.pullback(y, u)), inputs, values, offsets=offsets)
    assert_same_bits(lambda y, u: drawn.pullback(y, u, key=1), inputs, values, offsets=offsets)
