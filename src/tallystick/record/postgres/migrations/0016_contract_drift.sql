-- An event records the version of the provider's API whose words it is. And counts, kept for weeks: how often a provider
-- sent what is not read here as it was sent, by the field, hour by hour.
-- depends: 0013_late_money_counted

ALTER TABLE inbox ADD COLUMN api_version text;

CREATE TABLE contract_drift (
    provider text NOT NULL,
    field text NOT NULL,
    kind text NOT NULL,
    hour timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (provider, field, kind, hour)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON contract_drift TO tallystick_app;
