"""The Oobleck autoencoder: 48 kHz stereo waveforms to 25 latent frames per second and back."""
