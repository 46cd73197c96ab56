"""Exact answers without sampling: spectral measures, n-point functions, averages over random weights."""
