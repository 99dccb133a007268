"""What ComfyUI's own ACE-Step 1.5 nodes compute, for graphs that run without ComfyUI."""
