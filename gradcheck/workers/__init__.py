"""Specs and their tensors spread over workers: other processes of this machine, or a cluster."""
