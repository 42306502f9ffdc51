"""The numeric witness: gradients from forward alone."""
