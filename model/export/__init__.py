"""Checkpoints as files: formats to write, adapters merged in on the way."""
