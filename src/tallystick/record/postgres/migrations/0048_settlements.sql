-- What came of comparing settlement rows with the record, and what was posted of it. Evidence belongs to a file's row;
-- merchants' parts of a batch belong to merchants.
-- depends: 0047_fee_schedules

-- Append-only: a later comparison of a row is its next version. (merchant_id, subject_id, subject_version, leg): the
-- posting that the row is about.
CREATE TABLE settlement_evidence (
    file_id text NOT NULL,
    position integer NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    line integer NOT NULL,
    gross bigint NOT NULL,
    fee bigint NOT NULL,
    net bigint NOT NULL,
    covers bigint NOT NULL,
    difference bigint NOT NULL,
    tolerance bigint NOT NULL,
    fee_expected bigint,
    compared_at timestamptz NOT NULL,
    subject_version integer,
    leg integer,
    fee_schedule_version integer,
    parser_version integer NOT NULL,
    supersedes integer,
    batch text NOT NULL,
    currency text NOT NULL,
    kind text NOT NULL,
    row_key text NOT NULL,
    status text NOT NULL CHECK (status IN ('matched', 'mismatched', 'unexplained', 'explained')),
    reason text NOT NULL,
    stage text NOT NULL,
    part text NOT NULL,
    merchant_id text,
    payment_id text,
    subject_id text,
    attempt_id text,
    idempotency_key text,
    provider_reference text,
    row_reference text,
    payment_reference text,
    fee_unchecked text,
    parser text NOT NULL,
    actor text NOT NULL,
    compared json NOT NULL,
    PRIMARY KEY (file_id, position, version)
);
CREATE INDEX settlement_evidence_of_payment ON settlement_evidence (merchant_id, payment_id)
    WHERE merchant_id IS NOT NULL;
-- What a person has to look at.
CREATE INDEX settlement_evidence_open ON settlement_evidence (file_id, position)
    WHERE status IN ('mismatched', 'unexplained');

-- The evidence of one file about one batch: written with it, and never changed. root: a digest of all of it. It counts when
-- the history of the batch names it.
CREATE TABLE settlement_evidence_set (
    file_id text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    rows bigint NOT NULL,
    net numeric NOT NULL,
    root text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, batch, currency)
);

-- What a set comes to: by merchant ('' is the platform) and part.
CREATE TABLE settlement_evidence_sum (
    file_id text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    merchant_id text NOT NULL,
    part text NOT NULL,
    rows bigint NOT NULL,
    gross numeric NOT NULL,
    fee numeric NOT NULL,
    tax numeric NOT NULL,
    PRIMARY KEY (file_id, batch, currency, merchant_id, part)
);

-- Streams of their own: their steps are in the history.
CREATE TABLE settled_batch (
    merchant_id text NOT NULL,
    batch_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('posting', 'posted')),
    provider text NOT NULL,
    account text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    files json NOT NULL,
    roots json NOT NULL,
    rows bigint NOT NULL,
    net bigint NOT NULL,
    merchants bigint NOT NULL,
    fees bigint NOT NULL,
    tax bigint NOT NULL,
    reserve bigint NOT NULL,
    paid_out bigint NOT NULL,
    carried bigint NOT NULL,
    unexplained bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (net = merchants + reserve + paid_out + carried + unexplained - fees - tax),
    PRIMARY KEY (merchant_id, batch_id)
);

CREATE TABLE settlement (
    merchant_id text NOT NULL,
    settlement_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('posted')),
    batch_id text NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    rows bigint NOT NULL,
    charges bigint NOT NULL,
    charge_reversals bigint NOT NULL,
    refunds bigint NOT NULL,
    refund_reversals bigint NOT NULL,
    disputes bigint NOT NULL,
    dispute_reversals bigint NOT NULL,
    late bigint NOT NULL,
    fees bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, settlement_id)
);

GRANT SELECT, INSERT ON settlement_evidence, settlement_evidence_set, settlement_evidence_sum TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON settled_batch, settlement TO tallystick_app;
