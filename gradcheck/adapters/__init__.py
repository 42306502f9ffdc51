"""Layers that were written in another form, as layers of this contract: one form a file."""
