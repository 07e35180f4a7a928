-- What providers and banks report: files, the batches in them, and their rows in the normal form. A row belongs to no
-- merchant until it is matched, so these are keyed by file, or by provider and account.
-- depends: 0032_alerts

-- digest: of the file's bytes. The same bytes for the same account are imported once, unless they were withdrawn:
-- generation counts how often.
CREATE TABLE settlement_file (
    file_id text NOT NULL PRIMARY KEY,
    provider text NOT NULL,
    account text NOT NULL,
    digest text NOT NULL,
    name text NOT NULL,
    format text NOT NULL,
    parser_version integer NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('post', 'compare')),
    zone text NOT NULL,
    size_bytes bigint NOT NULL,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('importing', 'imported', 'conflict', 'refused', 'withdrawn')),
    rows bigint NOT NULL CHECK (rows >= 0),
    known_rows bigint NOT NULL CHECK (known_rows >= 0),
    bad_rows bigint NOT NULL CHECK (bad_rows >= 0),
    lines bigint NOT NULL,
    supplements boolean NOT NULL,
    detail text,
    imported_at timestamptz,
    withdrawn_at timestamptz,
    lease text,
    lease_until timestamptz
) WITH (fillfactor = 80);
CREATE INDEX settlement_file_of_account ON settlement_file (provider, account, file_id);

-- Which file has these bytes: the guard against importing them twice.
CREATE TABLE settlement_digest (
    provider text NOT NULL,
    account text NOT NULL,
    digest text NOT NULL,
    generation integer NOT NULL CHECK (generation > 0),
    file_id text NOT NULL,
    PRIMARY KEY (provider, account, digest, generation)
);

-- One row for each file that has rows of a batch; part is the guard: of two imports that both found n parts, one writes
-- part n + 1, and the other compares again. No file writes a part before all of its rows are there.
CREATE TABLE settlement_batch (
    provider text NOT NULL,
    account text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    part integer NOT NULL CHECK (part > 0),
    file_id text NOT NULL,
    state text NOT NULL CHECK (state IN ('balanced', 'unbalanced', 'unproven')),
    complete boolean NOT NULL,
    proof text CHECK (proof IN ('payout', 'footer', 'balances')),
    rows bigint NOT NULL,
    gross numeric NOT NULL,
    fee numeric NOT NULL,
    net numeric NOT NULL,
    paid_out numeric NOT NULL,
    stated numeric,
    difference numeric,
    opening numeric,
    closing numeric,
    sequence text,
    balance_account text,
    from_on date,
    to_on date,
    detail text,
    CHECK ((state = 'unproven') = (proof IS NULL)),
    PRIMARY KEY (provider, account, batch, currency, part)
);
CREATE INDEX settlement_batch_of_file ON settlement_batch (file_id);

-- The normal form. occurrence: of rows of one batch with one key. Rows of a file that an earlier file has are not here.
-- Columns of one width stand together, so that a row has no gaps.
CREATE TABLE settlement_row (
    file_id text NOT NULL,
    position integer NOT NULL,
    line integer NOT NULL,
    occurrence integer NOT NULL DEFAULT 1,
    value_on date,
    gross bigint NOT NULL,
    fee bigint NOT NULL,
    net bigint NOT NULL,
    payer_amount bigint,
    occurred_at timestamptz,
    booked_at timestamptz,
    batch text NOT NULL,
    row_key text NOT NULL,
    kind text NOT NULL,
    raw_type text NOT NULL,
    currency text NOT NULL,
    payer_currency text,
    rate text,
    reference text,
    payment_reference text,
    merchant_reference text,
    payout_reference text,
    method text,
    country text,
    other_references text[],
    fee_parts json,
    text text,
    CHECK (net = gross - fee),
    PRIMARY KEY (file_id, position)
);
-- Rows without a batch are compared by their key alone, in all files.
CREATE INDEX settlement_row_unbatched ON settlement_row (row_key, file_id) WHERE batch = '';

CREATE TABLE settlement_bad_row (
    file_id text NOT NULL,
    line integer NOT NULL,
    ordinal integer NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    PRIMARY KEY (file_id, line, ordinal)
);

-- Rows and bad rows of a file that is still importing, or was withdrawn before it was posted, may go.
GRANT SELECT, INSERT, UPDATE ON settlement_file TO tallystick_app;
GRANT SELECT, INSERT ON settlement_digest TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON settlement_batch TO tallystick_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON settlement_row, settlement_bad_row TO tallystick_app;
