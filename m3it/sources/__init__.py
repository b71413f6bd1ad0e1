"""The 40 converters, a module each: the authors' files of a dataset -> instances (CONTRIBUTING.md shows one)."""
