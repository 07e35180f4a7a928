-- What came of comparing the rows of reports that post nothing with the record. It lies apart from the evidence of
-- settlement rows, which is counted, told and posted: nothing that reads that one finds it.
-- depends: 0076_withdrawn_batches

-- Append-only: one row for each row of the report.
CREATE TABLE report_evidence (
    file_id text NOT NULL,
    position integer NOT NULL,
    line integer NOT NULL,
    parser_version integer NOT NULL,
    gross bigint NOT NULL,
    fee bigint NOT NULL,
    net bigint NOT NULL,
    compared_at timestamptz NOT NULL,
    currency text NOT NULL,
    kind text NOT NULL,
    row_key text NOT NULL,
    status text NOT NULL CHECK (status IN ('matched', 'mismatched', 'unexplained', 'explained')),
    reason text NOT NULL,
    stage text NOT NULL,
    merchant_id text,
    payment_id text,
    subject_id text,
    row_reference text,
    payment_reference text,
    parser text NOT NULL,
    actor text NOT NULL,
    compared json NOT NULL,
    PRIMARY KEY (file_id, position)
);

GRANT SELECT, INSERT ON report_evidence TO tallystick_app;
