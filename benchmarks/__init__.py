"""Every speed claim, each against a named peer in the same run, printed as a ratio."""
