"""Waveforms: files, resampling, loudness."""
