"""What the converters share: source files in archives, pictures and clips, options."""
