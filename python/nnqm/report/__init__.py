"""The table of a run's physics, measured beside exact."""
