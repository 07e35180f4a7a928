"""``make test-postgres``: the demonstration and ``verify`` on every version of PostgreSQL that is supported."""
