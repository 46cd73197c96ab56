"""Runs: simulations, their continuation and their files."""
