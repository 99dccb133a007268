"""Networks and checkpoints: text to states, states to condition, latents to waveform, files to weights."""
