"""Levels from correlator matrices, hidden states, single correlators and binned paths, each with a verdict."""
