"""From source files to shards, and from short answers to sentences."""
