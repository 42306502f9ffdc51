"""The parts of `benchmarks/versus_peers.py`."""
