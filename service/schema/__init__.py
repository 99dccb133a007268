"""Requests: what they may hold, and the errors of those that are invalid."""
