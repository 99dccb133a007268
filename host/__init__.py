"""What the pack needs from the place it runs in, behind one protocol."""
