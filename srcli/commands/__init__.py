"""Flags to an engine call to the console: no maths, no loops over pixels."""
