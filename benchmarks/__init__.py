"""How fast, how small, how quiet: figures beside the raw limit. `python -m benchmarks --help`."""
