"""From the PyTorch model to a bundle that a phone can run."""

import lira as lira  # sets what torch logs, before a converter imports it
