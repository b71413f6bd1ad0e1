"""What a model answers, how right it is, and which of two is better."""
