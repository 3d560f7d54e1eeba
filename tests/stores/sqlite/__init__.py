"""What only the SQLite store does: files, threads, locks, plans, faults."""
