-- is_read_only: whether the server takes no writes: a standby, or a primary that was fenced
SELECT current_setting('transaction_read_only') = 'on';

-- spill: 400 kB that do not fit the memory of a probe's statement: PostgreSQL writes them to a file that ends with the
-- statement. No row, no lock, nothing in the log of the server
SELECT count(*) FROM generate_series(1, 20000);

-- worker_runs: whether a worker has a session, by the name $1 that workers give theirs
SELECT EXISTS (
    SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1);
