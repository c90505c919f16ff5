"""Whether a bundle arrived whole, is what it says, and comes from whom it should."""
