"""Loops beside the workers: what keeps them running, and how they share out their places."""
