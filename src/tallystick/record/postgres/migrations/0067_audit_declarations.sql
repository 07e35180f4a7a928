-- What the audit lacked. Each state of an API key is a row of its own, so that a key that was given other rights shows. A
-- declared restore and a change of the signing key are signed by the keys that sign heads. A place outside that cannot be
-- read, such as a command or an address, has a row with how far it was told.
-- depends: 0062_comparisons_in_turns

-- Each state that a key was given: append-only. Keys of before have one of now.
CREATE TABLE api_key_act (
    merchant_id text NOT NULL,
    key_id text NOT NULL,
    number integer NOT NULL CHECK (number > 0),
    act text NOT NULL,
    secret_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz,
    operator boolean NOT NULL,
    api_version text,
    kind text,
    scopes text[],
    limit_currencies text[],
    limit_amounts bigint[],
    at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, key_id, number)
);

INSERT INTO api_key_act (merchant_id, key_id, number, act, secret_hash, created_at, revoked_at, operator, api_version,
                         kind, scopes, limit_currencies, limit_amounts, at)
SELECT merchant_id, key_id, 1, 'found', secret_hash, created_at, revoked_at, operator, api_version, kind, scopes,
       limit_currencies, limit_amounts, now()
FROM api_key;

-- Declared restores: append-only.
CREATE TABLE audit_restore (
    number bigint PRIMARY KEY CHECK (number > 0),
    document text NOT NULL,
    signature bytea NOT NULL,
    declared_at timestamptz NOT NULL
);

-- Changes of the key that signs heads, signed by both: append-only.
CREATE TABLE audit_key_rotation (
    number bigint PRIMARY KEY CHECK (number > 0),
    document text NOT NULL,
    old_signature bytea NOT NULL,
    new_signature bytea NOT NULL,
    rotated_at timestamptz NOT NULL
);

-- How far each command or address that heads are sent to has taken them.
CREATE TABLE audit_anchor (
    target text PRIMARY KEY,
    checkpoint bigint NOT NULL,
    at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON api_key_act, audit_restore, audit_key_rotation TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON audit_anchor TO tallystick_app;
