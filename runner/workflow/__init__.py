"""Reads workflow files: both of ComfyUI's formats, and what only its editor knows."""
