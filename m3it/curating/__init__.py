"""Rows looked at critically: what a set holds twice or where it must not, and what rules and models find odd."""
