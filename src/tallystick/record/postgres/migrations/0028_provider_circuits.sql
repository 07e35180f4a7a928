-- What each process that serves or works says of its circuit to an account of a provider. A row that was not written for
-- half a minute is of a process that is gone, and is deleted by the others.
-- depends: 0027_declared_keys

CREATE TABLE provider_circuit (
    provider text NOT NULL,
    account text NOT NULL,
    process_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('closed', 'open', 'half_open')),
    since timestamptz NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (provider, account, process_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON provider_circuit TO tallystick_app;
