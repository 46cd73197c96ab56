"""Eigenstates and products by the core, against closed forms, residuals and NumPy."""

import numpy as np
import pytest

from nnqm.statistics.matrices import eigenstates, eigenvalues, generalised_eigenstates, product


@pytest.mark.parametrize("size", [1, 2, 31, 64, 150])
def test_eigenstates_of_second_differences(size):
    matrix = 2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1)
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, size + 1) / (size + 1))
    values, vectors = eigenstates(matrix)
    assert np.allclose(values, exact, rtol=0, atol=1e-14)
    assert np.array_equal(values, eigenvalues(matrix))
    assert np.allclose(vectors.T @ vectors, np.eye(size), rtol=0, atol=1e-13)
    assert np.allclose(matrix @ vectors, vectors * values, rtol=0, atol=1e-13)


def test_degenerate_and_extreme_matrices():
    for matrix in (np.zeros((4, 4)), np.ones((6, 6)), np.diag([1e300, -1e300, 1.0]), np.full((3, 3), 1e-300)):
        values, vectors = eigenstates(matrix)
        size = np.abs(matrix).max() or 1.0
        assert np.allclose(matrix / size @ vectors, vectors * (values / size), rtol=0, atol=1e-14)
        assert np.allclose(vectors.T @ vectors, np.eye(len(matrix)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [100, 300])
@pytest.mark.parametrize("decades", [0, 2, 40, 80])
def test_matrices_of_many_scales_converge(size, decades):
    # Most eigenvalues lie below the rounding of the largest one, or a third of them are zero.
    rng = np.random.default_rng(decades)
    vectors = np.linalg.qr(rng.standard_normal((size, size)))[0]
    exact = 10.0 ** (-decades * np.arange(size) / size) * rng.choice([-1, 0, 1], size)
    scales = 10.0 ** (-decades / 2 * np.arange(size) / size)
    for matrix in ((vectors * exact) @ vectors.T, np.minimum.outer(scales, scales)):
        matrix = (matrix + matrix.T) / 2
        values, found = eigenstates(matrix)
        assert np.allclose(matrix @ found, found * values, rtol=0, atol=1e-13 * np.abs(values).max())
        assert np.allclose(found.T @ found, np.eye(size), rtol=0, atol=1e-13)
    assert np.allclose(eigenstates((vectors * exact) @ vectors.T)[0], np.sort(exact), rtol=0, atol=1e-13)


def test_generalised_eigenstates_of_stacks():
    rng = np.random.default_rng(1)
    root, matrix = rng.standard_normal((2, 5, 3, 12, 12))
    metric, matrix = root @ np.swapaxes(root, -1, -2) + np.eye(12), matrix + np.swapaxes(matrix, -1, -2)
    values, states = generalised_eigenstates(metric, matrix)
    assert values.shape == (5, 3, 12)
    assert np.allclose(np.swapaxes(states, -1, -2) @ metric @ states, np.eye(12), atol=1e-12)
    assert np.allclose(matrix @ states, metric @ states * values[..., None, :], atol=1e-11)
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        generalised_eigenstates(metric - 1e3 * np.eye(12), matrix)


def test_products_with_one_matrix_or_a_stack():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((4, 7)), rng.standard_normal((5, 7, 3))
    assert np.allclose(product(a, b), a @ b, rtol=0, atol=1e-14)
    assert np.allclose(product(b.transpose(0, 2, 1), a.T), b.transpose(0, 2, 1) @ a.T, rtol=0, atol=1e-14)
    assert np.allclose(product(a, b[0]), a @ b[0], rtol=0, atol=1e-14)
    assert product(np.zeros((4, 0)), np.zeros((0, 3))).tolist() == np.zeros((4, 3)).tolist()


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        eigenvalues(np.full((2, 2), np.nan))
