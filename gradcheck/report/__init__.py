"""One format a file; each sees `findings` only."""
