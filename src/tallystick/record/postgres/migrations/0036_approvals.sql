-- What needs more than one person: asked for, decided, and what came of it. All append-only. It belongs to the platform;
-- merchant_id names whom it is about.
-- depends: 0035_operators

-- shown: what the requester saw, and deciders see; shown_hash is over it. authors: who made what is to be approved, and
-- may not decide. needed: how many must approve.
CREATE TABLE approval_request (
    request_id text NOT NULL PRIMARY KEY,
    act text NOT NULL,
    target text NOT NULL,
    merchant_id text,
    arguments json NOT NULL,
    shown json NOT NULL,
    shown_hash bytea NOT NULL,
    authors text[] NOT NULL,
    needed integer NOT NULL CHECK (needed > 0),
    reason text NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

-- One word a person.
CREATE TABLE approval_decision (
    request_id text NOT NULL,
    decided_by text NOT NULL,
    approves boolean NOT NULL,
    shown_hash bytea NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (request_id, decided_by)
);

-- The end of a request, once.
CREATE TABLE approval_outcome (
    request_id text NOT NULL PRIMARY KEY,
    outcome text NOT NULL CHECK (outcome IN ('approved', 'rejected', 'void', 'expired')),
    detail text NOT NULL,
    at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON approval_request, approval_decision, approval_outcome TO tallystick_app;
