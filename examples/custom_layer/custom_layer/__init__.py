"""Layers with a backward pass written by hand."""
