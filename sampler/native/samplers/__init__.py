"""Samplers, one file per family; ``sampler_table.py`` beside this folder lists them by name."""
