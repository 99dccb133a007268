"""Noise, schedulers and samplers of ComfyUI's own sampling nodes, number for number; ``sampling.py`` is the entry.

Everything is computed in float32 in ComfyUI's order of operations, since the log signal-to-noise ratio amplifies
rounding near t = 1 and t = 0. Latents are in ComfyUI's layout, ``[b c t]``.
"""
