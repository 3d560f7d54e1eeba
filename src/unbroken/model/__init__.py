"""Nouns and laws: records, errors, signals, the small interfaces. No I/O, no imports of ours."""
