"""The formats of `gradcheck sweep`: one a file; each sees `step_sweep` only."""
