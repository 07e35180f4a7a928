-- Bank statements beside providers' payouts: which statement counts, which payout arrived with which entry, and what was
-- posted of it.
-- depends: 0048_settlements

-- A stream of its own: its steps are in the history.
CREATE TABLE bank_statement (
    merchant_id text NOT NULL,
    statement_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('posted')),
    provider text NOT NULL,
    account text NOT NULL,
    statement text NOT NULL,
    currency text NOT NULL,
    comparisons bigint NOT NULL,
    root text NOT NULL,
    entries bigint NOT NULL,
    net bigint NOT NULL,
    arrived bigint NOT NULL,
    arrivals json NOT NULL,
    fees bigint NOT NULL,
    unexplained bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CHECK (net = arrived + unexplained - fees),
    PRIMARY KEY (merchant_id, statement_id)
);

-- What a statement is known by beside its id: its number, or its last day and balances. ordinal is the guard: the first
-- statement of a name counts, and the others are doubles whose entries are not posted.
CREATE TABLE bank_statement_name (
    provider text NOT NULL,
    account text NOT NULL,
    currency text NOT NULL,
    name text NOT NULL,
    ordinal integer NOT NULL CHECK (ordinal > 0),
    batch text NOT NULL,
    file_id text NOT NULL,
    PRIMARY KEY (provider, account, currency, name, ordinal)
);
CREATE INDEX bank_statement_name_of_batch ON bank_statement_name (provider, account, batch, currency);

-- Entries of a statement were compared: number is the guard. root: a digest of the one before and of what was added.
CREATE TABLE bank_comparison (
    provider text NOT NULL,
    account text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    rows bigint NOT NULL,
    root text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (provider, account, batch, currency, number)
);

-- A payout of a provider arrived, or a part of it, with an entry of a statement: (file_id, position, version) is the
-- entry's evidence. ordinal is the guard: of two that find n arrivals of a payout, one writes n + 1.
CREATE TABLE bank_arrival (
    payout_file_id text NOT NULL,
    payout_position integer NOT NULL,
    ordinal integer NOT NULL CHECK (ordinal > 0),
    file_id text NOT NULL,
    position integer NOT NULL,
    version integer NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    provider text NOT NULL,
    amount bigint NOT NULL,
    PRIMARY KEY (payout_file_id, payout_position, ordinal)
);
CREATE INDEX bank_arrival_of_entry ON bank_arrival (file_id, position);

-- A few rows of each file.
CREATE INDEX settlement_row_payouts ON settlement_row (file_id, position) WHERE kind IN ('payout', 'payout_reversal');

GRANT SELECT, INSERT ON bank_statement_name, bank_comparison, bank_arrival TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON bank_statement TO tallystick_app;
