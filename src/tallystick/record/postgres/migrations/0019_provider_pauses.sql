-- Until when an account of a provider takes no calls: it asked to wait (Retry-After). Every process heeds what one was told.
-- depends: 0001_schema

CREATE TABLE provider_pause (
    provider text NOT NULL,
    account text NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (provider, account)
);

GRANT SELECT, INSERT, UPDATE ON provider_pause TO tallystick_app;
