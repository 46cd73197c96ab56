"""Somebody else's paths: a lattice path integral by Metropolis, analysed through the public interface alone."""

import numpy as np
import pytest

import nnqm
from harness import assert_consistent, assert_inconsistent


def potential(x):
    return x**2 / 2 + x**4


def metropolis(spacing, sites, sweeps, chains=256, burn_in=80, keep=4, seed=1):
    """Configurations of exp(-S), S = sum spacing ((dx/spacing)^2/2 + V), periodic in time; successive ones correlated.

    Even and odd sites in turn, a proposal three times over for each; shape (chains * kept, sites), chain after chain.
    """
    rng = np.random.default_rng(seed)
    x = 0.5 * rng.normal(size=(chains, sites))
    width = 1.6 * np.sqrt(spacing)
    kept = []
    for sweep in range(burn_in + sweeps):
        for parity in (0, 1):
            here = x[:, parity::2]
            near = (np.roll(x, 1, axis=1) + np.roll(x, -1, axis=1))[:, parity::2]
            for _ in range(3):
                there = here + width * rng.uniform(-1, 1, here.shape)
                # Of ((x - left)^2 + (x - right)^2)/(2 spacing) what depends on x is (x^2 - x near)/spacing.
                change = (there**2 - here**2 - (there - here) * near) / spacing
                change += spacing * (potential(there) - potential(here))
                here = np.where(rng.random(here.shape) < np.exp(-np.maximum(change, 0)), there, here)
            x[:, parity::2] = here
        if sweep >= burn_in and sweep % keep == 0:
            kept.append(x.copy())
    return np.stack(kept, axis=1).reshape(-1, sites)


def lattice_gaps(spacing, n):
    """Gaps of the lattice itself: eigenvalues of its transfer matrix on a grid of x."""
    x = np.linspace(-4, 4, 401)
    half = np.exp(-spacing * potential(x) / 2)
    transfer = half[:, None] * np.exp(-((x[:, None] - x) ** 2) / (2 * spacing)) * half
    values = np.linalg.eigvalsh(transfer)[::-1]
    return -np.log(values[1 : n + 1] / values[0]) / spacing


CONTINUUM = nnqm.Hamiltonian([0, 0, 0.5, 0, 1]).gaps(3)


@pytest.fixture(scope="module")
def coarse():
    return nnqm.accumulate(metropolis(0.25, 64, 160), 0.25)


def test_the_transfer_matrix_tends_to_the_hamiltonian():
    shifts = np.array([lattice_gaps(a, 3) - CONTINUUM for a in (0.25, 0.125)])
    assert np.all(np.abs(shifts[0]) > 0.005)
    np.testing.assert_allclose(shifts[0] / shifts[1], 4, rtol=0.15)


@pytest.mark.slow
def test_gaps_of_the_lattice_are_those_of_its_transfer_matrix(coarse):
    found = nnqm.spectrum(coarse, 3)
    exact = lattice_gaps(0.25, 3)
    assert len(found.gaps) == 3
    for gap, value in zip(found.gaps, exact, strict=True):
        assert_consistent(gap, value)
    # The spacing is seen, and so is a gap that is wrong by four percent.
    assert_inconsistent(found.gaps[0], CONTINUUM[0])
    assert_inconsistent(found.gaps[1], 1.04 * exact[1])


@pytest.mark.slow
def test_two_spacings_give_the_continuum(coarse):
    fine = nnqm.accumulate(metropolis(0.125, 64, 160, seed=2), 0.125)
    at_coarse, at_fine = (nnqm.spectrum(run, 2).gaps for run in (coarse, fine))
    for n in range(2):
        error = np.hypot(4 * float(at_fine[n].error), float(at_coarse[n].error)) / 3
        # What is left is of the fourth order, by the transfer matrix.
        left = (4 * lattice_gaps(0.125, 2)[n] - lattice_gaps(0.25, 2)[n]) / 3 - CONTINUUM[n]
        assert abs(left) < error
        # (4 fine - coarse)/3 = continuum
        expected = (3 * CONTINUUM[n] + float(at_coarse[n].value)) / 4
        assert_consistent(at_fine[n], expected, expected_error=np.hypot(float(at_coarse[n].error), 3 * left) / 4)


@pytest.mark.slow
def test_correlated_configurations_have_larger_errors():
    # Every sweep kept, of few chains: neighbouring configurations say nearly the same.
    paths = metropolis(0.125, 16, 600, chains=16, keep=1, seed=3)
    shuffled = np.random.default_rng(4).permutation(paths)
    together, apart = (nnqm.accumulate(p, 0.125).moments()[0] for p in (paths, shuffled))
    assert float(together.error) > 1.3 * float(apart.error)


@pytest.mark.slow
def test_a_short_period_is_noticed():
    found = nnqm.spectrum(nnqm.accumulate(metropolis(0.25, 12, 200, seed=6), 0.25), 3)
    assert found.gaps == ()
    assert found.levels[0].verdict == "slower tail"
    assert "periodic" in str(found.advice)
