"""Rows, figures and results for people to look at."""
