-- How many deliveries of providers were refused, hour by hour: counted by every process, kept for weeks.
-- depends: 0001_schema

CREATE TABLE webhook_refusal (
    provider text NOT NULL,
    account text NOT NULL,
    reason text NOT NULL,
    hour timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (provider, account, reason, hour)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_refusal TO tallystick_app;
