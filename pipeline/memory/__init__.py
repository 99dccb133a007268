"""How much memory a run needs, what lies where, and what happens when memory runs out."""
