"""Solvers, one file per family; ``sampler/solver.py`` lists them by name."""
