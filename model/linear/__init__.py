"""Linear layers whose weights are not plain numbers."""
