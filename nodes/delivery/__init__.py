"""Nodes of the menu group delivery: encoded audio to files, text, uploads and webhooks."""
