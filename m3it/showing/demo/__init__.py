"""A model asked in the browser: `m3it demo`."""
