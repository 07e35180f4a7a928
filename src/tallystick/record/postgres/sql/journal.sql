-- claimed: instructions that already have their key, with the recorded answer if there is one
SELECT i.merchant_id, i.idempotency_key, i.instruction_id, i.operation, i.path, i.fingerprint,
       i.fingerprint_version, i.request, i.payment_id, i.subject_id, r.status, r.body
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, idempotency_key)
JOIN instruction i ON i.merchant_id = k.merchant_id AND i.idempotency_key = k.idempotency_key
LEFT JOIN response r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key;

-- committed: which of these changes are committed, by the first version that each would have added
SELECT t.change_id
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS k (merchant_id, subject_id, version, change_id)
JOIN transition t ON t.merchant_id = k.merchant_id AND t.subject_id = k.subject_id AND t.version = k.version
WHERE t.change_id = k.change_id;

-- insert_instructions: take keys; a key that is taken stays with its first instruction
INSERT INTO instruction (merchant_id, idempotency_key, instruction_id, operation, path, fingerprint,
                         fingerprint_version, request, payment_id, subject_id, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[],
                     $7::smallint[], $8::bytea[], $9::text[], $10::text[], $11::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING instruction_id;

-- insert_transitions: append history; a version that exists already means that the race was lost
INSERT INTO transition (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state,
                        event, cause, actor, provider_reference, at, occurred_at, change, evidence)
SELECT k.merchant_id, k.subject_id, k.version, k.change_id, k.subject, k.stream_id, k.from_state, k.to_state, k.event,
       k.cause, k.actor, k.provider_reference, k.at, k.occurred_at, k.change::json, k.evidence::json
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::timestamptz[], $15::text[], $16::text[])
     AS k (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state, event, cause, actor,
           provider_reference, at, occurred_at, change, evidence)
ON CONFLICT DO NOTHING
RETURNING merchant_id, subject_id, version, change_id;

-- insert_payments: the first state of each payment
INSERT INTO payment (merchant_id, payment_id, version, state, amount, currency, amount_authorized, amount_captured,
                     amount_refunded, amount_refund_pending, amount_reversed, amount_late, amount_late_accepted,
                     amount_late_returning, amount_late_returned, late_movements, provider_operations, capture_method,
                     payment_method, provider, provider_reference, next_action, failure, description, metadata,
                     created_at, updated_at, exponent, provider_exponent)
SELECT k.merchant_id, k.payment_id, k.version, k.state, k.amount, k.currency, k.amount_authorized, k.amount_captured,
       k.amount_refunded, k.amount_refund_pending, k.amount_reversed, k.amount_late, k.amount_late_accepted,
       k.amount_late_returning, k.amount_late_returned, k.late_movements::json, k.provider_operations::json,
       k.capture_method, k.payment_method, k.provider, k.provider_reference, k.next_action::json, k.failure::json,
       k.description, k.metadata::json, k.created_at, k.updated_at, k.exponent, k.provider_exponent
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
            $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[],
            $24::text[], $25::text[], $26::timestamptz[], $27::timestamptz[], $28::smallint[], $29::smallint[])
     AS k (merchant_id, payment_id, version, state, amount, currency, amount_authorized, amount_captured,
           amount_refunded, amount_refund_pending, amount_reversed, amount_late, amount_late_accepted,
           amount_late_returning, amount_late_returned, late_movements, provider_operations, capture_method,
           payment_method, provider, provider_reference, next_action, failure, description, metadata, created_at,
           updated_at, exponent, provider_exponent);

-- move_payments: the state after the change's last version, if it is newer
UPDATE payment p
SET version = k.version, state = k.state, amount_authorized = k.amount_authorized,
    amount_captured = k.amount_captured, amount_refunded = k.amount_refunded,
    amount_refund_pending = k.amount_refund_pending, amount_reversed = k.amount_reversed,
    amount_late = k.amount_late, amount_late_accepted = k.amount_late_accepted,
    amount_late_returning = k.amount_late_returning, amount_late_returned = k.amount_late_returned,
    late_movements = k.late_movements::json, provider_operations = k.provider_operations::json,
    provider_reference = k.provider_reference, next_action = k.next_action::json, failure = k.failure::json,
    updated_at = k.updated_at
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[], $15::text[],
            $16::text[], $17::text[], $18::text[], $19::timestamptz[])
     AS k (merchant_id, payment_id, version, state, amount_authorized, amount_captured, amount_refunded,
           amount_refund_pending, amount_reversed, amount_late, amount_late_accepted, amount_late_returning,
           amount_late_returned, late_movements, provider_operations, provider_reference, next_action, failure,
           updated_at)
WHERE p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id AND p.version < k.version;

-- insert_attempts: the first state of each attempt, and recovery's schedule on the database's clock ($26: shift in ms)
INSERT INTO attempt (merchant_id, payment_id, attempt_id, version, state, operation, purpose, refund_id,
                     idempotency_key, amount, currency, capture, payment_method, provider, account, provider_key,
                     provider_reference, parent_reference, submissions, late_effect, key_taken, opened_at, deadline,
                     settled_after, next_check_at, parked_at, checks)
SELECT a.merchant_id, a.payment_id, a.attempt_id, a.version, a.state, a.operation, a.purpose, a.refund_id,
       a.idempotency_key, a.amount, a.currency, a.capture, a.payment_method, a.provider, a.account, a.provider_key,
       a.provider_reference, a.parent_reference, a.submissions, a.late_effect, a.key_taken, c.at,
       c.at + coalesce(a.deadline_in_ms, 0) * interval '1 millisecond',
       c.at + coalesce(a.settled_in_ms, 0) * interval '1 millisecond',
       c.at + a.next_check_in_ms * interval '1 millisecond',
       CASE WHEN a.parked THEN c.at END, 0
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::text[], $10::bigint[], $11::text[], $12::boolean[], $13::text[], $14::text[], $15::text[],
            $16::text[], $17::text[], $18::text[], $19::int[], $20::boolean[], $21::boolean[], $22::bigint[],
            $23::bigint[], $24::bigint[], $25::boolean[])
     AS a (merchant_id, payment_id, attempt_id, version, state, operation, purpose, refund_id, idempotency_key,
           amount, currency, capture, payment_method, provider, account, provider_key, provider_reference,
           parent_reference, submissions, late_effect, key_taken, next_check_in_ms, deadline_in_ms, settled_in_ms, parked),
     (SELECT now() + $26::bigint * interval '1 millisecond' AS at) AS c;

-- move_attempts: the state after this version, and recovery's schedule ($14: shift in ms)
WITH k AS MATERIALIZED (
    SELECT w.merchant_id, w.payment_id, w.attempt_id, w.version, w.state, w.provider_reference, w.submissions,
           w.late_effect, w.key_taken, c.at + coalesce(w.deadline_in_ms, 0) * interval '1 millisecond' AS deadline,
           c.at + coalesce(w.settled_in_ms, 0) * interval '1 millisecond' AS settled_after,
           c.at + w.next_check_in_ms * interval '1 millisecond' AS next_check_at,
           CASE WHEN w.parked THEN c.at END AS parked_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::int[], $8::boolean[],
                $9::boolean[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[])
         AS w (merchant_id, payment_id, attempt_id, version, state, provider_reference, submissions, late_effect,
               key_taken, next_check_in_ms, deadline_in_ms, settled_in_ms, parked),
         (SELECT now() + $14::bigint * interval '1 millisecond' AS at) AS c
)
UPDATE attempt a
SET version = k.version, state = k.state, provider_reference = k.provider_reference, submissions = k.submissions,
    late_effect = k.late_effect, key_taken = k.key_taken,
    deadline = CASE WHEN k.submissions > a.submissions THEN k.deadline ELSE a.deadline END,
    settled_after = CASE WHEN k.submissions > a.submissions THEN k.settled_after ELSE a.settled_after END,
    next_check_at = k.next_check_at, parked_at = k.parked_at,
    checks = CASE WHEN k.state = a.state THEN a.checks ELSE 0 END,
    lease_until = NULL
FROM k
WHERE a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.attempt_id = k.attempt_id
  AND a.version = k.version - 1;

-- insert_transfers: the ledger
INSERT INTO transfer (merchant_id, stream_id, subject_id, version, leg, kind, debit, credit, amount, currency, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::smallint[], $6::text[], $7::text[],
                     $8::text[], $9::bigint[], $10::text[], $11::timestamptz[]);

-- insert_responses: final answers
INSERT INTO response (merchant_id, idempotency_key, status, body, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bytea[], $5::timestamptz[]);

-- insert_rejections: refused transitions
INSERT INTO rejection (merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause,
                       actor, origin, reason, alert, idempotency_key, at, evidence)
SELECT k.merchant_id, k.stream_id, k.rejection_id, k.subject_id, k.subject, k.state, k.version, k.event, k.cause,
       k.actor, k.origin, k.reason, k.alert, k.idempotency_key, k.at, k.evidence::json
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int[], $8::text[], $9::text[],
            $10::text[], $11::text[], $12::text[], $13::boolean[], $14::text[], $15::timestamptz[], $16::text[])
     AS k (merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause, actor, origin,
           reason, alert, idempotency_key, at, evidence)
ON CONFLICT DO NOTHING;

-- write_deadlines: when to look at authorizations ($4: shift in ms)
INSERT INTO deadline (merchant_id, payment_id, due_at, checks)
SELECT merchant_id, payment_id, now() + (due_in_ms + $4::bigint) * interval '1 millisecond', 0
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS d (merchant_id, payment_id, due_in_ms)
ON CONFLICT (merchant_id, payment_id) DO UPDATE SET due_at = excluded.due_at, lease_until = NULL;

-- insert_references: providers' references of charges; the first one stays
INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT DO NOTHING;

-- insert_messages: messages to merchants
INSERT INTO outbox (merchant_id, stream_id, version, subject_id, message_id, type, body, at)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::text[], $7::bytea[],
                     $8::timestamptz[]);

-- insert_processing: tries at events of providers, with their results
INSERT INTO processing (provider, account, provider_event_id, try_id, number, started_at, ended_at, result, detail,
                        change_id, actor)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::timestamptz[],
                     $7::timestamptz[], $8::text[], $9::text[], $10::text[], $11::text[])
ON CONFLICT DO NOTHING;

-- acknowledge: close events, or set when they are tried again; a closed event stays closed, and a try without a
-- decision does not change an event that another worker has leased ($11: shift in ms)
WITH a AS MATERIALIZED (
    SELECT w.provider, w.account, w.provider_event_id, w.state, w.detail, w.number, w.merchant_id, w.payment_id,
           w.lease, now() + (w.next_try_in_ms + $11::bigint) * interval '1 millisecond' AS next_try_at,
           CASE WHEN w.next_try_in_ms IS NULL THEN now() + $11::bigint * interval '1 millisecond' END AS closed_at,
           (extract(epoch FROM now()) * 1000)::bigint + w.next_try_in_ms AS turn
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[], $8::text[],
                $9::text[], $10::text[])
         AS w (provider, account, provider_event_id, state, detail, number, next_try_in_ms, merchant_id, payment_id,
               lease)
)
UPDATE inbox e
SET state = a.state, detail = a.detail, tries = greatest(e.tries, a.number),
    merchant_id = coalesce(e.merchant_id, a.merchant_id), payment_id = coalesce(e.payment_id, a.payment_id),
    next_try_at = a.next_try_at, closed_at = a.closed_at, turn = coalesce(a.turn, e.turn),
    lease_until = NULL, lease = NULL
FROM a
WHERE e.provider = a.provider AND e.account = a.account AND e.provider_event_id = a.provider_event_id
  AND e.next_try_at IS NOT NULL AND (a.lease IS NULL OR e.lease = a.lease);

-- add_balances: one row per account and batch, last because it is contended
INSERT INTO balance (merchant_id, account, currency, debits, credits)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::numeric[], $5::numeric[])
ON CONFLICT (merchant_id, account, currency) DO UPDATE SET
    debits = balance.debits + excluded.debits, credits = balance.credits + excluded.credits;
