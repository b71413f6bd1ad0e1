"""Rows in the browser: `m3it browse`."""
