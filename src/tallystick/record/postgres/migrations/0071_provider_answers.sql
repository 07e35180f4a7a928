-- What a provider answered where that was no plain success: the beginning of its bytes, beside the step that they explain.
-- depends: 0069_covered_postings

-- Written in the transaction of the change that the answer led to, and never changed. The step or the refused transition
-- that names it has the SHA-256 of sealed. size_bytes: of the whole answer, as far as it was read.
CREATE TABLE provider_answer (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    change_id text NOT NULL,
    attempt_id text NOT NULL,
    asked text NOT NULL CHECK (asked IN ('call', 'lookup')),
    status smallint NOT NULL,
    size_bytes integer NOT NULL CHECK (size_bytes >= 0),
    at timestamptz NOT NULL,
    subject_id text,
    version integer,
    rejection_id text,
    sealed bytea NOT NULL,
    PRIMARY KEY (merchant_id, payment_id, change_id),
    CHECK ((subject_id IS NULL) = (version IS NULL)),
    CHECK (subject_id IS NOT NULL OR rejection_id IS NOT NULL)
);

-- The key that the bytes are under besides the sealing key. An erasure takes it, and says by which request.
CREATE TABLE provider_answer_key (
    merchant_id text NOT NULL,
    payment_id text NOT NULL,
    change_id text NOT NULL,
    raw_key bytea CHECK (octet_length(raw_key) = 16),
    erased_by text,
    PRIMARY KEY (merchant_id, payment_id, change_id),
    CHECK ((raw_key IS NULL) = (erased_by IS NOT NULL))
);

GRANT SELECT, INSERT ON provider_answer TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON provider_answer_key TO tallystick_app;
