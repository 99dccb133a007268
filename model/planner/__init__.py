"""The 5 Hz language model that plans a song: its prompts, and what it writes, read."""
