"""ComfyUI nodes: sockets and widgets in, one library call, a tuple out."""
