"""Estimators: commutator and momentum from the roughness of paths, four-point functions, clustering."""
