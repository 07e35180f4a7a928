-- What a merchant was told of a settled movement can be taken back with its file; what operators move alone is added up; and
-- reports that post nothing are compared again.
-- depends: 0082_news_by_event

-- NOT VALID: rows of before have one of the first two states, which the old constraint held; a row for each settled movement
-- is too many to look at again.
ALTER TABLE reconciliation DROP CONSTRAINT reconciliation_state_check;
ALTER TABLE reconciliation ADD CONSTRAINT reconciliation_has_state
    CHECK (state IN ('settled', 'exception', 'withdrawn')) NOT VALID;

-- Append-only: what each act of reconciliation moved that no second person approved. day: in UTC. ordinal: which act of the
-- operator's day it is in this currency, from 1; two that counted on the same sum take the same place.
CREATE TABLE moved_alone (
    operator text NOT NULL,
    day date NOT NULL,
    currency text NOT NULL,
    ordinal integer NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    act_id text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (operator, day, currency, ordinal)
);

GRANT SELECT, INSERT ON moved_alone TO tallystick_app;

-- Reports that post nothing are compared again: a row that did not agree gets its next evidence where it comes to something
-- else. comparison: the one that it came of.
ALTER TABLE report_evidence ADD COLUMN comparison integer NOT NULL DEFAULT 1;
ALTER TABLE report_evidence DROP CONSTRAINT report_evidence_pkey;
ALTER TABLE report_evidence ADD PRIMARY KEY (file_id, position, comparison);

-- Append-only: each comparison of a report, from 1. Two at once take one number. rows: that came to something new; open_rows:
-- that do not agree by then.
CREATE TABLE report_comparison (
    file_id text NOT NULL,
    comparison integer NOT NULL CHECK (comparison > 0),
    rows bigint NOT NULL,
    open_rows bigint NOT NULL,
    actor text NOT NULL,
    compared_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, comparison)
);

INSERT INTO report_comparison (file_id, comparison, rows, open_rows, actor, compared_at)
SELECT file_id, 1, count(*), count(*) FILTER (WHERE status IN ('mismatched', 'unexplained')), min(actor), min(compared_at)
FROM report_evidence
GROUP BY file_id;

GRANT SELECT, INSERT ON report_comparison TO tallystick_app;

-- A release before this one read what withdrawals made as files, found no movement in it, and noted that merchants were told.
-- They are told now.
DELETE FROM reconciliation_told WHERE file_id LIKE 'wdr\_%';
