"""Engines that execute a bundle's graphs, each behind the protocol of `protocol.py`."""
