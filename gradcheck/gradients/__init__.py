"""The two witnesses: the analytic gradient and the numeric one. Neither imports the other."""
