-- Operators who sign in: who they are, what they may do, what they prove it with, and their sessions. None of it belongs
-- to a merchant.
-- depends: 0033_arrivals_with_other_bytes

-- What an operator may do, version by version: append-only, so that a review can say who had which right when. merchants
-- null is all. actor: who gave it. request_id: what a second person approved; null in the bootstrap, and where none is
-- needed.
CREATE TABLE operator_version (
    operator_id text NOT NULL,
    version integer NOT NULL CHECK (version > 0),
    state text NOT NULL CHECK (state IN ('active', 'disabled')),
    roles text[] NOT NULL,
    merchants text[],
    raw_evidence boolean NOT NULL,
    actor text NOT NULL,
    request_id text,
    at timestamptz NOT NULL,
    PRIMARY KEY (operator_id, version)
);

-- The first two operators need no second person: there is none. Each takes a place here, and there is no third.
CREATE TABLE operator_bootstrap (
    place integer NOT NULL CHECK (place IN (1, 2)),
    operator_id text NOT NULL,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (place)
);

-- What an operator proves it with. version grows with every reset and first sign-in: a session of an older one is over.
-- password_hash: argon2id; totp_secret: sealed; totp_step: the last time step whose code was used. invitation_hash: of the
-- secret for one first sign-in.
CREATE TABLE operator_credential (
    operator_id text NOT NULL PRIMARY KEY,
    version integer NOT NULL,
    password_hash text,
    totp_secret bytea,
    totp_step bigint NOT NULL,
    invitation_hash bytea,
    invited_until timestamptz,
    changed_at timestamptz NOT NULL
);

-- Of a session's secret only the hash is here.
CREATE TABLE operator_session (
    session_hash bytea NOT NULL PRIMARY KEY,
    operator_id text NOT NULL,
    credential_version integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('browser', 'command_line')),
    address text NOT NULL,
    signed_in_at timestamptz NOT NULL,
    used_at timestamptz NOT NULL,
    ended_at timestamptz
);
CREATE INDEX operator_session_of_operator ON operator_session (operator_id, signed_in_at);

-- Tries at signing in, by account and address, by account, and by address.
CREATE TABLE sign_in_try (
    subject text NOT NULL PRIMARY KEY,
    tries integer NOT NULL,
    tried_at timestamptz NOT NULL
);
CREATE INDEX sign_in_try_by_time ON sign_in_try (tried_at);

GRANT SELECT, INSERT ON operator_version, operator_bootstrap TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON operator_credential, operator_session TO tallystick_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_try TO tallystick_app;
