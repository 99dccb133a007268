"""Runs a workflow JSON without ComfyUI."""
