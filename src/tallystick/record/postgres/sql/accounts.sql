-- operator: the newest version of an operator
SELECT operator_id, version, state, roles, merchants, raw_evidence, actor, request_id, at
FROM operator_version WHERE operator_id = $1 ORDER BY version DESC LIMIT 1;

-- operator_at: the version that was in force at $2
SELECT operator_id, version, state, roles, merchants, raw_evidence, actor, request_id, at
FROM operator_version WHERE operator_id = $1 AND at <= $2 ORDER BY version DESC LIMIT 1;

-- operator_versions: every version of every operator; a review is about all of them
SELECT operator_id, version, state, roles, merchants, raw_evidence, actor, request_id, at
FROM operator_version ORDER BY operator_id, version;

-- insert_operator_version: the guard: of two that take the same version, one is written
INSERT INTO operator_version (operator_id, version, state, roles, merchants, raw_evidence, actor, request_id, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- bootstrap: the places that are taken
SELECT place, operator_id FROM operator_bootstrap ORDER BY place;

-- take_bootstrap: take a place; one that is taken is an error
INSERT INTO operator_bootstrap (place, operator_id, actor, at) VALUES ($1, $2, $3, $4);

-- credential: what an operator signs in with
SELECT operator_id, version, password_hash, totp_secret, totp_step, invitation_hash, invited_until
FROM operator_credential WHERE operator_id = $1;

-- insert_credential: of a new operator, who has an invitation alone
INSERT INTO operator_credential (operator_id, version, totp_step, invitation_hash, invited_until, changed_at)
VALUES ($1, 1, 0, $2, $3, $4);

-- reset_credential: forget what an operator signed in with; an invitation takes its place. $5: only of this version
UPDATE operator_credential
SET version = version + 1, password_hash = NULL, totp_secret = NULL, totp_step = 0, invitation_hash = $2,
    invited_until = $3, changed_at = $4
WHERE operator_id = $1 AND ($5::integer IS NULL OR version = $5)
RETURNING version;

-- set_credential: the first sign-in: it takes the invitation, once
UPDATE operator_credential
SET version = version + 1, password_hash = $3, totp_secret = $4, totp_step = $5, invitation_hash = NULL,
    invited_until = NULL, changed_at = $6
WHERE operator_id = $1 AND invitation_hash = $2
RETURNING version;

-- use_code: take a time step, so that its code is used once
UPDATE operator_credential SET totp_step = $3
WHERE operator_id = $1 AND version = $2 AND totp_step < $3
RETURNING operator_id;

-- replace_hash: the same password under today's cost
UPDATE operator_credential SET password_hash = $3
WHERE operator_id = $1 AND password_hash = $2;

-- session: a session by its hash
SELECT operator_id, credential_version, kind, signed_in_at, used_at, ended_at
FROM operator_session WHERE session_hash = $1;

-- insert_session: a new session
INSERT INTO operator_session (session_hash, operator_id, credential_version, kind, address, signed_in_at, used_at)
VALUES ($1, $2, $3, $4, $5, $6, $6);

-- use_session: it was used at $2
UPDATE operator_session SET used_at = $2 WHERE session_hash = $1 AND used_at < $2 AND ended_at IS NULL;

-- end_session: one session is over
UPDATE operator_session SET ended_at = $2 WHERE session_hash = $1 AND ended_at IS NULL;

-- end_sessions: all of an operator are over
UPDATE operator_session SET ended_at = $2 WHERE operator_id = $1 AND ended_at IS NULL;

-- last_sign_in: when an operator last signed in
SELECT signed_in_at FROM operator_session WHERE operator_id = $1 ORDER BY signed_in_at DESC LIMIT 1;

-- tries: at signing in, of one subject
SELECT tries, tried_at FROM sign_in_try WHERE subject = $1;

-- first_try: the first of a subject; none where another process was faster
INSERT INTO sign_in_try (subject, tries, tried_at) VALUES ($1, 1, $2)
ON CONFLICT DO NOTHING
RETURNING tries;

-- next_try: count one more, if nobody counted since they were read
UPDATE sign_in_try SET tries = $4, tried_at = $5
WHERE subject = $1 AND tries = $2 AND tried_at = $3
RETURNING tries;

-- forget_tries: whoever signs in has no tries behind them
DELETE FROM sign_in_try WHERE subject = $1;

-- forget_old_tries: those of before $1
DELETE FROM sign_in_try WHERE tried_at < $1;
