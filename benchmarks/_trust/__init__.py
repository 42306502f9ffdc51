"""The parts of `benchmarks/trust.py`."""
