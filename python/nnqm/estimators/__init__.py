"""Estimators of one question each: roughness of paths, four-point functions, clustering."""
