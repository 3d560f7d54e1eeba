"""Unbroken beside its rivals: the same work, on one server, in turns. `make bench-rivals`."""
