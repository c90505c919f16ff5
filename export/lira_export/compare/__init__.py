"""`lira-compare`: the same drawings by several bundles, side by side."""
