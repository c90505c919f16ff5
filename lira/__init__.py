"""LiRA: a text-to-image latent diffusion model for phones."""
