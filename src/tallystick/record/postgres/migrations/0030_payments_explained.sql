-- How often a request was repeated under its key, kept with the key as long as it: a row for each key and kind of answer,
-- and none for a request that came once. And captures, refunds and cancels are found by the provider's reference: a charge
-- is found by its payment's already, so that a payment without a second call costs nothing more.
-- depends: 0029_cases_and_acts

CREATE TABLE instruction_replay (
    merchant_id text NOT NULL,
    idempotency_key text NOT NULL,
    kind text NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key, kind)
);

GRANT SELECT, INSERT, UPDATE ON instruction_replay TO tallystick_app;

CREATE INDEX attempt_by_reference ON attempt (merchant_id, provider_reference)
    WHERE operation <> 'authorize' AND provider_reference IS NOT NULL;
