"""Theories: seed processes, networks, densities of random weights."""
