"""Learning: gradients of exact observables, fits, trained ensembles, and theories designed to order."""
