"""Traceable twins of the eager modules, with the same parameter names."""
