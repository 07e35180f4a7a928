-- The record: history and ledger are append-only, the other tables are what they add up to.
-- Every primary key starts with merchant_id, so that all of a payment lives on one shard.

CREATE TABLE merchant (
    merchant_id text PRIMARY KEY,
    default_provider text,
    created_at timestamptz NOT NULL
);

CREATE TABLE api_key (
    merchant_id text NOT NULL,
    key_id text NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    PRIMARY KEY (merchant_id, key_id)
);

-- A key, once taken, is taken for ever: append-only.
CREATE TABLE instruction (
    merchant_id text NOT NULL,
    idempotency_key text NOT NULL,
    instruction_id text NOT NULL,
    operation text NOT NULL,
    path text NOT NULL,
    fingerprint bytea NOT NULL,
    fingerprint_version smallint NOT NULL,
    request bytea NOT NULL,
    payment_id text NOT NULL,
    subject_id text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key)
);

-- The final answer of an instruction, byte for byte: append-only.
CREATE TABLE response (
    merchant_id text NOT NULL,
    idempotency_key text NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, idempotency_key)
);

-- History: append-only. The primary key is the guard of every change.
CREATE TABLE transition (
    merchant_id text NOT NULL,
    subject_id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    change_id text NOT NULL,
    subject text NOT NULL,
    payment_id text NOT NULL,
    from_state text NOT NULL,
    to_state text NOT NULL,
    event text NOT NULL,
    cause text NOT NULL,
    actor text NOT NULL,
    provider_reference text,
    at timestamptz NOT NULL,
    occurred_at timestamptz,
    change json NOT NULL,
    evidence json,
    PRIMARY KEY (merchant_id, subject_id, version)
);

-- Refused transitions: append-only, and they take no version.
CREATE TABLE rejection (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    rejection_id text NOT NULL,
    subject_id text NOT NULL,
    subject text NOT NULL,
    state text NOT NULL,
    version integer NOT NULL,
    event text NOT NULL,
    cause text NOT NULL,
    actor text NOT NULL,
    origin text NOT NULL,
    reason text NOT NULL,
    alert boolean NOT NULL,
    idempotency_key text,
    at timestamptz NOT NULL,
    evidence json,
    PRIMARY KEY (merchant_id, payment_id, rejection_id)
);

-- The ledger: append-only. One row is one balanced entry.
CREATE TABLE transfer (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    subject_id text NOT NULL,
    version integer NOT NULL,
    leg smallint NOT NULL,
    kind text NOT NULL,
    debit text NOT NULL,
    credit text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    at timestamptz NOT NULL,
    CHECK (debit <> credit),
    PRIMARY KEY (merchant_id, payment_id, subject_id, version, leg)
);

CREATE TABLE balance (
    merchant_id text NOT NULL,
    account text NOT NULL,
    currency text NOT NULL,
    debits numeric NOT NULL CHECK (debits >= 0),
    credits numeric NOT NULL CHECK (credits >= 0),
    PRIMARY KEY (merchant_id, account, currency)
);

CREATE TABLE payment (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    amount_authorized bigint NOT NULL CHECK (amount_authorized >= 0),
    amount_captured bigint NOT NULL CHECK (amount_captured >= 0),
    amount_refunded bigint NOT NULL CHECK (amount_refunded >= 0),
    amount_refund_pending bigint NOT NULL CHECK (amount_refund_pending >= 0),
    capture_method text NOT NULL,
    payment_method text NOT NULL,
    provider text NOT NULL,
    provider_reference text,
    next_action json,
    failure json,
    description text,
    metadata json NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (amount_captured <= amount_authorized),
    CHECK (amount_refunded + amount_refund_pending <= amount_captured),
    PRIMARY KEY (merchant_id, payment_id)
) WITH (fillfactor = 80);
-- Ids are time-ordered, so the primary key serves lists by time; these serve the two filters that it cannot.
CREATE INDEX payment_by_provider_reference ON payment (merchant_id, provider_reference, payment_id)
    WHERE provider_reference IS NOT NULL;
CREATE INDEX payment_by_rare_state ON payment (merchant_id, state, payment_id) WHERE state <> 'captured';

CREATE TABLE refund (
    merchant_id text NOT NULL,
    refund_id text NOT NULL,
    payment_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    currency text NOT NULL,
    provider text NOT NULL,
    provider_reference text,
    reason text,
    failure json,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, refund_id)
);
CREATE INDEX refund_by_payment ON refund (merchant_id, payment_id);

-- Columns from opened_at on are recovery's schedule, on the database's clock; they are no part of the history.
CREATE TABLE attempt (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    attempt_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL,
    operation text NOT NULL,
    purpose text NOT NULL,
    refund_id text,
    idempotency_key text,
    amount bigint NOT NULL,
    currency text NOT NULL,
    capture boolean NOT NULL,
    payment_method text NOT NULL,
    provider text NOT NULL,
    provider_key text NOT NULL,
    provider_reference text,
    parent_reference text,
    submissions integer NOT NULL,
    late_effect boolean NOT NULL,
    opened_at timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    settled_after timestamptz NOT NULL,
    next_check_at timestamptz,
    parked_at timestamptz,
    checks integer NOT NULL,
    checked_at timestamptz,
    lease_until timestamptz,
    PRIMARY KEY (merchant_id, payment_id, attempt_id)
) WITH (fillfactor = 80);
CREATE INDEX attempt_due ON attempt (next_check_at) WHERE next_check_at IS NOT NULL;
CREATE INDEX attempt_parked ON attempt (parked_at) WHERE parked_at IS NOT NULL;

-- Deadlines that outlive their attempt: an authorization that nobody captures. Polled, on the database's clock.
CREATE TABLE deadline (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    due_at timestamptz NOT NULL,
    checks integer NOT NULL,
    lease_until timestamptz,
    PRIMARY KEY (merchant_id, payment_id)
);
CREATE INDEX deadline_due ON deadline (due_at);

-- The application may add to history and ledger, and neither change nor remove what is there.
GRANT SELECT, INSERT ON instruction, response, transition, rejection, transfer TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON merchant, api_key, balance, payment, refund, attempt TO tallystick_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON deadline TO tallystick_app;
