"""Runs a LiRA bundle: tokenizer, sampler, pipeline and command line, without torch."""
