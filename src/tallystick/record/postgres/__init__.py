"""The record in PostgreSQL: batches, reads, queues, migrations."""
