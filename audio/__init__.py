"""Waveforms: files, resampling, loudness, splicing."""
