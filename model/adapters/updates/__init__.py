"""What an adapter does to one weight: one file per family of formulas; `kinds.py` lists them."""
