"""Weights that do not fit on the accelerator: which stay, which are streamed, and when they are copied."""
