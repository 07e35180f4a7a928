-- What proves that nobody rewrote the record. Tables of its own: nothing here is part of a change, and nothing is written
-- while the operator has not turned sealing on. What is sealed is found by time (BRIN: an entry for each 256 kB, so that
-- a payment pays nothing for it), and by the keys of tables in the daily sweep.
-- depends: 0036_approvals

-- The trees of this record: how many groups its merchants are in is fixed when sealing begins. One row.
CREATE TABLE audit_record (
    name text PRIMARY KEY CHECK (name = 'record'),
    record_id text NOT NULL,
    merchant_groups smallint NOT NULL CHECK (merchant_groups > 0),
    created_at timestamptz NOT NULL
);

-- Signed heads of each group's tree, with the list of the leaves that each one adds: append-only. Two that seal at once
-- want the same sequence, and one gets it.
CREATE TABLE audit_head (
    leaf_group smallint NOT NULL,
    sequence bigint NOT NULL CHECK (sequence > 0),
    size bigint NOT NULL,
    peaks bytea NOT NULL,
    leaves bytea NOT NULL,
    document text NOT NULL,
    signature bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (leaf_group, sequence)
);

-- Heads of heads, each with every group's newest head: append-only.
CREATE TABLE audit_checkpoint (
    number bigint PRIMARY KEY CHECK (number > 0),
    document text NOT NULL,
    signature bytea NOT NULL,
    sealed_at timestamptz NOT NULL
);

-- Where each sealed thing stands, and what its personal fields are hashed with. A thing under no merchant has an empty
-- merchant_id.
CREATE TABLE audit_leaf (
    merchant_id text NOT NULL,
    kind text NOT NULL,
    leaf_key text NOT NULL,
    leaf_group smallint NOT NULL,
    position bigint NOT NULL,
    salt bytea NOT NULL,
    PRIMARY KEY (merchant_id, kind, leaf_key)
);

-- Looks at everything that is sealed late, with what they found: append-only.
CREATE TABLE audit_sweep (
    sweep_id text PRIMARY KEY,
    at timestamptz NOT NULL,
    examined bigint NOT NULL,
    late bigint NOT NULL
);

CREATE INDEX transition_sealing ON transition USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX instruction_sealing ON instruction USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX response_sealing ON response USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX rejection_sealing ON rejection USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX delivery_sealing ON delivery USING brin (recorded_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX processing_sealing ON processing USING brin (ended_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX message_try_sealing ON message_try USING brin (started_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX operator_act_sealing ON operator_act USING brin (at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX webhook_endpoint_act_sealing ON webhook_endpoint_act USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

GRANT SELECT, INSERT ON audit_record, audit_head, audit_checkpoint, audit_leaf, audit_sweep TO tallystick_app;
