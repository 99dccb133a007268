"""Uploads of results and webhook calls: what is scheduled, and sending it."""
