"""What only PostgreSQL can do or suffer: a network, a server that dies, a pooler in between."""
