"""From the PyTorch model to a bundle that a phone can run."""
