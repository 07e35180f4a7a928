-- What a merchant was told of a settled movement can be taken back with its file. And what operators move alone is added up.
-- depends: 0081_report_evidence

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
