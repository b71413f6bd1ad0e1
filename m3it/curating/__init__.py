"""Rows looked at critically: what models and rules say of them."""
