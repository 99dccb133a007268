"""ComfyUI's own node classes, for graphs that run without ComfyUI."""
