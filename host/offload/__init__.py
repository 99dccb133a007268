"""Weights that do not fit on the accelerator: what stays, what is streamed, and when it is copied."""
