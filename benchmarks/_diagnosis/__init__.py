"""Parts of the benchmark of diagnoses."""
