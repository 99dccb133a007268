"""The 5 Hz language model that plans a song: prompts, grammar and the sampling loop.

Nothing is here yet; this is where it goes.
"""
