-- What merchants were told of rows of settlement files, once each; and what people write off of a bank's entries.
-- depends: 0062_comparisons_in_turns

-- A stream of its own: its steps are in the history. Its id is made from the movement, or from the row.
CREATE TABLE reconciliation (
    merchant_id text NOT NULL,
    reconciliation_id text NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('settled', 'exception')),
    payment_id text NOT NULL,
    subject_id text NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    amount bigint NOT NULL,
    fee bigint NOT NULL,
    net bigint NOT NULL,
    file_id text NOT NULL,
    position integer NOT NULL,
    evidence_version integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, reconciliation_id)
);

-- The sets of evidence of which merchants were told everything: nobody looks at them again.
CREATE TABLE reconciliation_told (
    file_id text NOT NULL,
    batch text NOT NULL,
    currency text NOT NULL,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, batch, currency)
);

-- Few rows: evidence that counts in a set of its own.
CREATE INDEX settlement_evidence_counted_in ON settlement_evidence (counted_in) WHERE counted_in IS NOT NULL;

ALTER TABLE bank_statement ADD COLUMN written_off bigint NOT NULL DEFAULT 0;
ALTER TABLE bank_statement DROP CONSTRAINT bank_statement_check;
ALTER TABLE bank_statement ADD CONSTRAINT bank_statement_adds_up CHECK (net = arrived + unexplained + written_off - fees);

GRANT SELECT, INSERT, UPDATE ON reconciliation TO tallystick_app;
GRANT SELECT, INSERT ON reconciliation_told TO tallystick_app;
