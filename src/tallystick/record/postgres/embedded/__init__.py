"""PostgreSQL from a wheel, run for one data directory."""
