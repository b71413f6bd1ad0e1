"""A config in another language: protected, translated, checked, remembered."""
