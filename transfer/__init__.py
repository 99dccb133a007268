"""Bytes in and out over HTTP, within bounds and never into private networks unasked."""
