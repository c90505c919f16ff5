"""Whether a machine and its environment can do what is asked of them, and what to type where they cannot."""
