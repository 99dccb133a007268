"""Trains the demo checkpoint: a composer that makes songs, and the three networks that learn from it."""
