"""Where a job's graph runs: in this process or in ComfyUI's queue."""
