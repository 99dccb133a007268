"""The mathematics of denoising; knows nothing of text, files or devices."""
