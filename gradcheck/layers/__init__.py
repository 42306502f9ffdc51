"""The mathematics: one layer a file; the file's name is the layer's name in a spec."""
