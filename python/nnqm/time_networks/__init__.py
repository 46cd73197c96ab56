"""Theories as networks of time: kernels and their Karhunen-Loeve decompositions."""
