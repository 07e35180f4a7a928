-- Webhooks in (inbox), webhooks out (outbox), disputes, and what late events say of captured money.
-- depends: 0001_schema

ALTER TABLE payment ADD COLUMN amount_reversed bigint NOT NULL DEFAULT 0 CHECK (amount_reversed >= 0);
ALTER TABLE attempt ADD COLUMN account text NOT NULL DEFAULT 'main';
ALTER TABLE api_key ADD COLUMN operator boolean NOT NULL DEFAULT false;

CREATE TABLE dispute (
    merchant_id text NOT NULL,
    dispute_id text NOT NULL,
    payment_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    provider text NOT NULL,
    provider_reference text NOT NULL,
    reason text,
    funds_withdrawn boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, dispute_id)
);
CREATE INDEX dispute_by_payment ON dispute (merchant_id, payment_id);

-- Whose charge is this? For events that name it by the provider's reference alone: keyed by that, not by merchant.
CREATE TABLE provider_reference (
    provider text NOT NULL,
    account text NOT NULL,
    reference text NOT NULL,
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    PRIMARY KEY (provider, account, reference)
);

-- One row an event of a provider, keyed by the provider's own words: it has no merchant until it is routed, so its
-- dedup marker comes from the bytes alone. Columns from state on are the worker's.
CREATE TABLE inbox (
    provider text NOT NULL,
    account text NOT NULL,
    provider_event_id text NOT NULL,
    event_id text NOT NULL,
    type text NOT NULL,
    received_at timestamptz NOT NULL,
    occurred_at timestamptz,
    charge_reference text,
    merchant_id text,
    payment_id text,
    traceparent text,
    digest bytea NOT NULL,
    notice json,
    state text NOT NULL,
    detail text,
    turn bigint NOT NULL,
    tries integer NOT NULL,
    replays integer NOT NULL,
    next_try_at timestamptz,
    lease_until timestamptz,
    lease text,
    closed_at timestamptz,
    PRIMARY KEY (provider, account, provider_event_id)
) WITH (fillfactor = 80);
CREATE INDEX inbox_by_event ON inbox (event_id);
-- Turns are milliseconds, spread over a merchant's events: one merchant's flood queues behind others' few.
CREATE INDEX inbox_due ON inbox (turn) WHERE next_try_at IS NOT NULL;
CREATE INDEX inbox_dead ON inbox (closed_at) WHERE state = 'dead';
CREATE INDEX inbox_by_payment ON inbox (merchant_id, payment_id) WHERE payment_id IS NOT NULL;

-- Every arrival, redeliveries too, with its bytes and headers encrypted: append-only.
CREATE TABLE delivery (
    provider text NOT NULL,
    account text NOT NULL,
    provider_event_id text NOT NULL,
    delivery_id text NOT NULL,
    received_at timestamptz NOT NULL,
    validated_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    result text NOT NULL,
    digest bytea NOT NULL,
    sealed bytea NOT NULL,
    PRIMARY KEY (provider, account, provider_event_id, delivery_id)
);

-- Every try at an event, and what it came to: append-only.
CREATE TABLE processing (
    provider text NOT NULL,
    account text NOT NULL,
    provider_event_id text NOT NULL,
    try_id text NOT NULL,
    number integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    result text NOT NULL,
    detail text,
    change_id text,
    actor text,
    PRIMARY KEY (provider, account, provider_event_id, try_id)
);

-- What merchants are told of each version of a payment, in that order: written with the change. The last two columns
-- are the dispatcher's; the rest is append-only.
CREATE TABLE outbox (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    version integer NOT NULL,
    subject_id text NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL,
    dispatched_at timestamptz,
    lease_until timestamptz,
    PRIMARY KEY (merchant_id, payment_id, version, subject_id)
);
CREATE INDEX outbox_waiting ON outbox (at) WHERE dispatched_at IS NULL;

GRANT SELECT, INSERT ON provider_reference, delivery, processing, outbox TO tallystick_app;
GRANT UPDATE (dispatched_at, lease_until) ON outbox TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON dispute, inbox TO tallystick_app;
