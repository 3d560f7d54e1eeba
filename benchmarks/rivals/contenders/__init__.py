"""One program for each contender; each runs in an environment of its own."""
