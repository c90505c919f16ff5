"""LiRA: a text-to-image latent diffusion model for phones."""

import logging

# transformers imports torchao where it is installed, and torch then warns about an interface that torchao still uses.
logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
