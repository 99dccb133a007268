"""Warnings about settings that are probably unintended."""
