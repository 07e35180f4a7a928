-- A refused transition that alerts is a case with a lifecycle: open, acknowledged, resolved. What an operator did is
-- recorded once, under a key of the operator's own. Releases and changes of the configuration are points of the record. A
-- provider may be paused by an operator. And counts, kept for weeks: what providers' events came to, hour by hour.
-- depends: 0027_declared_keys

-- late | conflicting | malformed | unknown_to_us; null in rows of before, and where a client was refused.
ALTER TABLE rejection ADD COLUMN category text;
-- Cases that are missing are looked for by time. Refusals of clients are not in it.
CREATE INDEX rejection_alerting ON rejection (at, rejection_id) WHERE alert;

-- A stream of its own: its steps are in the history, under its id. Only what is left of its rejection's row changes.
-- from_stream_id, subject, subject_id, subject_state, subject_version, event, tried_by (its cause) and origin are the rejection's.
CREATE TABLE rejected_case (
    merchant_id text NOT NULL,
    case_id text NOT NULL,
    rejection_id text NOT NULL,
    from_stream_id text NOT NULL,
    subject text NOT NULL,
    subject_id text NOT NULL,
    subject_state text NOT NULL,
    subject_version integer NOT NULL,
    event text NOT NULL,
    tried_by text NOT NULL,
    origin text NOT NULL,
    category text NOT NULL CHECK (category IN ('late', 'conflicting', 'malformed', 'unknown_to_us')),
    reason text NOT NULL,
    provider text,
    event_id text,
    created_at timestamptz NOT NULL,
    version integer NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'acknowledged', 'resolved')),
    owner text,
    escalations integer NOT NULL,
    reprocessings integer NOT NULL,
    resolution text,
    closed_by text CHECK (closed_by IN ('rule', 'person')),
    updated_at timestamptz NOT NULL,
    CHECK ((state = 'resolved') = (closed_by IS NOT NULL)),
    CHECK ((state = 'resolved') = (resolution IS NOT NULL)),
    PRIMARY KEY (merchant_id, case_id)
) WITH (fillfactor = 80);
CREATE INDEX rejected_case_by_id ON rejected_case (case_id);
CREATE INDEX rejected_case_of_stream ON rejected_case (merchant_id, from_stream_id, case_id);
-- Those that wait for somebody, the oldest first; and what was closed lately.
CREATE INDEX rejected_case_waiting ON rejected_case (created_at, case_id) WHERE state <> 'resolved';
CREATE INDEX rejected_case_resolved ON rejected_case (updated_at) WHERE state = 'resolved';
CREATE INDEX rejected_case_resolved_by_time ON rejected_case (created_at, case_id) WHERE state = 'resolved';

-- An act of an operator, recorded with its effect: append-only. Keyed by the operator's own key, and by no merchant: most
-- acts are about what belongs to none. operator is an API key (key:<key id>) or, unauthenticated,
-- shell:<user>@<host>. result has what the act came to, as it is answered when the act is repeated.
CREATE TABLE operator_act (
    operator text NOT NULL,
    idempotency_key text NOT NULL,
    act_id text NOT NULL,
    act text NOT NULL,
    target text NOT NULL,
    merchant_id text,
    payment_id text,
    arguments json NOT NULL,
    fingerprint bytea NOT NULL,
    reason text NOT NULL,
    key_kind text,
    change_id text,
    result json NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (operator, idempotency_key)
);
-- Ids are time-ordered: a list by id is a list by time.
CREATE INDEX operator_act_by_id ON operator_act (act_id);
CREATE INDEX operator_act_on_target ON operator_act (target, act_id);
CREATE INDEX operator_act_on_payment ON operator_act (payment_id, act_id) WHERE payment_id IS NOT NULL;

-- Points of the record that trends show: append-only. kind: release (an operator marked it; version is its name) or
-- configuration (a process of this role found other settings than the last one did; changed names them, and digests has
-- a digest of the value of each setting that is no secret). process_version: of the program that wrote it.
CREATE TABLE deployment (
    deployment_id text NOT NULL PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('release', 'configuration')),
    at timestamptz NOT NULL,
    process_version text NOT NULL,
    version text,
    role text,
    host text,
    fingerprint text,
    changed text[],
    digests json,
    actor text NOT NULL,
    act_id text
);
CREATE INDEX deployment_by_time ON deployment (at, deployment_id);
CREATE INDEX deployment_of_role ON deployment (role, at) WHERE kind = 'configuration';

-- What an operator paused: until null is until somebody resumes it. A row whose until has passed pauses nothing.
CREATE TABLE operator_pause (
    provider text NOT NULL,
    account text NOT NULL,
    paused boolean NOT NULL,
    until timestamptz,
    actor text NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (provider, account)
);

-- What tries at providers' events came to. result: as in processing.
CREATE TABLE event_result (
    provider text NOT NULL,
    type text NOT NULL,
    result text NOT NULL,
    hour timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (provider, type, result, hour)
);
CREATE INDEX event_result_hour ON event_result (hour);

GRANT SELECT, INSERT ON operator_act, deployment TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON rejected_case, operator_pause TO tallystick_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON event_result TO tallystick_app;
