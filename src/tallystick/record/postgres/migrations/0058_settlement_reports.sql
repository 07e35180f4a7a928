-- Settlement reports of providers that are to be fetched, or were: known by the provider's own name of the report.
-- depends: 0048_settlements

-- url: where the provider says that it is, which is checked before it is used. file_id: the settlement file that it became.
CREATE TABLE settlement_report (
    provider text NOT NULL,
    account text NOT NULL,
    report text NOT NULL,
    url text,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('waiting', 'fetched', 'refused')),
    tries integer NOT NULL CHECK (tries >= 0),
    next_try_at timestamptz,
    lease text,
    file_id text,
    detail text,
    ended_at timestamptz,
    CHECK ((state = 'waiting') = (next_try_at IS NOT NULL)),
    PRIMARY KEY (provider, account, report)
) WITH (fillfactor = 80);
CREATE INDEX settlement_report_due ON settlement_report (provider, account, next_try_at) WHERE next_try_at IS NOT NULL;

GRANT SELECT, INSERT, UPDATE ON settlement_report TO tallystick_app;
