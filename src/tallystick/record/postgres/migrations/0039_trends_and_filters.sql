-- What the console shows over time, and the filters that its operators keep. All of it is about the platform, and of no
-- merchant.
-- depends: 0032_alerts

-- How long things took, by the minute: so many of ``what`` took at most ``bound_ms`` and more than the bound before;
-- 2147483647 is beyond the last one.
CREATE TABLE latency_count (
    what text NOT NULL,
    minute timestamptz NOT NULL,
    bound_ms integer NOT NULL CHECK (bound_ms > 0),
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (what, minute, bound_ms)
);
CREATE INDEX latency_count_minute ON latency_count (minute);

-- How much waited, once a minute: written by the worker that has the watch.
CREATE TABLE number_sample (
    what text NOT NULL,
    minute timestamptz NOT NULL,
    value bigint NOT NULL,
    PRIMARY KEY (what, minute)
);
CREATE INDEX number_sample_minute ON number_sample (minute);

-- query: the filters as they stand in the address of the list.
CREATE TABLE saved_filter (
    operator text NOT NULL,
    list text NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    saved_at timestamptz NOT NULL,
    PRIMARY KEY (operator, list, name)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON latency_count, number_sample, saved_filter TO tallystick_app;
