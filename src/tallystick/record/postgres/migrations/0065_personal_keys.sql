-- What a merchant writes about a person can be erased. The first step of a payment's history has it under personal_key,
-- which is the payment's alone; everything else has holes, which are filled from the payment's row. To erase is to empty
-- the row of both. erased_by: the request of whoever asked for it. Rows of before are moved by personal_move, in pages.
-- depends: 0062_comparisons_in_turns

ALTER TABLE payment
    ADD COLUMN personal_key bytea CHECK (octet_length(personal_key) = 16),
    ADD COLUMN erased_by text;
CREATE INDEX payment_erased ON payment (merchant_id, payment_id) WHERE erased_by IS NOT NULL;

-- The bytes of arrivals are encrypted once more, by a key of their event: arrivals are append-only. raw_key is null in
-- events of before, and in erased ones.
ALTER TABLE inbox
    ADD COLUMN raw_key bytea CHECK (octet_length(raw_key) = 16),
    ADD COLUMN erased_by text;

-- How far the rows of before are moved: a row for each table, and the last key of it that was looked at.
CREATE TABLE personal_move (
    moves text NOT NULL PRIMARY KEY,
    after text[] NOT NULL,
    moved bigint NOT NULL,
    finished_at timestamptz
);

-- What is to be erased, and how far it is: of one payment, or of all that a merchant had until then. It goes on after a
-- kill from the last payment that it erased.
CREATE TABLE erasure (
    merchant_id text NOT NULL,
    request_id text NOT NULL,
    payment_id text,
    until timestamptz NOT NULL,
    after text NOT NULL,
    payments bigint NOT NULL,
    events bigint NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (merchant_id, request_id)
);
CREATE INDEX erasure_unfinished ON erasure (request_id) WHERE finished_at IS NULL;

GRANT SELECT ON personal_move TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON erasure TO tallystick_app;
