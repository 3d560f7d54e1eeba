"""SQLite, in one file or in memory: the database that comes with Python."""
