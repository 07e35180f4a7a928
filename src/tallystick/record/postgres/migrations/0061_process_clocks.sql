-- What each process that serves or works says of the clocks that it compares with its host's. A row that was not written for
-- half a minute is of a process that is gone, and is deleted by the others.
-- depends: 0048_settlements

CREATE TABLE process_clock (
    clock text NOT NULL,
    process_id text NOT NULL,
    host text NOT NULL,
    skew_ms bigint NOT NULL,
    uncertainty_ms bigint NOT NULL,
    beyond_margin boolean NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (clock, process_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON process_clock TO tallystick_app;
