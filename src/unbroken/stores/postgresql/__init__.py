"""PostgreSQL behind the store protocol: asyncpg, one statement a batch where that is possible."""
