-- Alerts: one condition about one thing, as a subject of the platform's. And to which webhook which step of each was sent.
-- depends: 0031_numbers

-- A stream of its own; its steps are in the history. There are as many as names and what they are about.
CREATE TABLE alert (
    merchant_id text NOT NULL,
    alert_id text NOT NULL,
    name text NOT NULL,
    about text NOT NULL,
    created_at timestamptz NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'acknowledged', 'resolved')),
    severity text NOT NULL CHECK (severity IN ('page', 'notice')),
    owner text NOT NULL,
    summary text NOT NULL,
    began_at timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    openings integer NOT NULL CHECK (openings > 0),
    acknowledged_by text,
    resolved_by text,
    updated_at timestamptz NOT NULL,
    CHECK ((state = 'resolved') = (resolved_by IS NOT NULL)),
    PRIMARY KEY (merchant_id, alert_id)
) WITH (fillfactor = 80);
CREATE INDEX alert_by_time ON alert (updated_at, alert_id);

-- target: a digest of the webhook's address, which may be a secret. version: the newest step that it took. failed: tries
-- in a row since then.
CREATE TABLE alert_sending (
    alert_id text NOT NULL,
    target text NOT NULL,
    version integer NOT NULL,
    failed integer NOT NULL,
    next_try_at timestamptz NOT NULL,
    PRIMARY KEY (alert_id, target)
);

GRANT SELECT, INSERT, UPDATE ON alert, alert_sending TO tallystick_app;
