"""What mistake a guilty layer has made: one known mistake a file, recognised by predicting the wrong values."""
