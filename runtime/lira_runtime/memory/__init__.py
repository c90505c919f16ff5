"""What a process holds in memory: measured by stage, predicted, reported."""
