"""One loss a file; the file's name is the loss's name in a spec."""
