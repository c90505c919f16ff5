"""Core ML: what converts, quantizes, counts and, for parity, executes ML Programs."""
