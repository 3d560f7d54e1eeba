"""Random programs in several processes on one file, which are killed and frozen at random."""
