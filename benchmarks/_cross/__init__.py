"""What the cross-examination is made of."""
