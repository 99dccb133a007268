"""Rewrites graphs of ComfyUI's own ACE-Step 1.5 nodes into this pack's."""
