"""The commands, a module a panel of `m3it --help`. Each parses, calls one library function, and prints."""
