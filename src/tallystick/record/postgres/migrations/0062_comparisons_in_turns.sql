-- Who says which row of a provider's files has which posting holds that provider's row here until it is said.
-- depends: 0061_process_clocks

CREATE TABLE provider_comparison (
    provider text PRIMARY KEY,
    turns bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON provider_comparison TO tallystick_app;
