"""Nouns and laws: records, errors, signals and the small interfaces. No I/O; imports nothing of ours."""
