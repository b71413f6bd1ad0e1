"""The commands, by the panels of `m3it --help`. Each parses, calls one library function, and prints."""
