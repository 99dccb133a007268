"""The graphs people open, as package data."""
