"""Sampling: paths of theories, block sums, two-point functions."""
