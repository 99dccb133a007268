"""Adapters by name, and strengths that change over the run and the song."""
