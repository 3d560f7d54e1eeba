"""What history costs: the same work on an empty database and on one that is full."""
