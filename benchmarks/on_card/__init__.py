"""Everything worth measuring on a graphics card, in one command; see __main__.py."""
