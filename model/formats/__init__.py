"""How weights lie in files."""
