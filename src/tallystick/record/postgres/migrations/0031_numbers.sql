-- What the numbers and alerts of the platform are read from: who reads them now, rates by the minute, and how many of the
-- payments of a minute have all that must stand beside them.
-- depends: 0030_payments_explained

-- Who watches: one worker at a time, for as long as it renews its lease.
CREATE TABLE watch (
    name text PRIMARY KEY,
    lease text NOT NULL,
    held_at timestamptz NOT NULL,
    lease_until timestamptz NOT NULL
);

CREATE TABLE rate_count (
    what text NOT NULL,
    minute timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (what, minute)
);
CREATE INDEX rate_count_minute ON rate_count (minute);

-- By the minute in which payments were made.
CREATE TABLE completeness_count (
    minute timestamptz PRIMARY KEY,
    final bigint NOT NULL CHECK (final >= 0),
    complete bigint NOT NULL CHECK (complete >= 0 AND complete <= final)
);

-- What keeps a dispute account from zero.
CREATE INDEX dispute_open ON dispute (created_at, dispute_id) WHERE state IN ('opened', 'under_review');

GRANT SELECT, INSERT, UPDATE, DELETE ON watch, rate_count, completeness_count TO tallystick_app;
