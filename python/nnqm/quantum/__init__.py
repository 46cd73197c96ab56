"""Quantum mechanics of one Hamiltonian: levels, states, Euclidean functions, spectral measures."""
