-- What providers agreed to charge, by date: append-only, one row for each version. An account's schedules belong to no
-- merchant.
-- depends: 0044_settlement_files

CREATE TABLE fee_schedule (
    provider text NOT NULL,
    account text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    valid_from date NOT NULL,
    rounding text NOT NULL CHECK (rounding IN ('half_up', 'half_even', 'up', 'down')),
    rates json NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (provider, account, version)
);

GRANT SELECT, INSERT ON fee_schedule TO tallystick_app;
