"""Reflection positivity: tests on paths and certificates of exact two-point functions."""
