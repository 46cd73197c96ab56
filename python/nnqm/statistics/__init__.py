"""Estimates with errors, moments and autocorrelation times."""
