-- claimed: instructions that already have their key, with the recorded answer if there is one, and what fills both
SELECT i.merchant_id, i.idempotency_key, i.instruction_id, i.operation, i.path, i.fingerprint,
       i.fingerprint_version, i.request, i.payment_id, i.subject_id, i.status, i.body, i.api_version,
       p.description, p.metadata, p.erased_by
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS idempotency_key) AS k
JOIN answered_instruction i ON i.merchant_id = k.merchant_id AND i.idempotency_key = k.idempotency_key
LEFT JOIN payment p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id;

-- committed: which of these changes are committed, by the first version that each would have added
SELECT t.change_id
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS subject_id, unnest($3::int[]) AS version,
             unnest($4::text[]) AS change_id) AS k
JOIN transition t ON t.merchant_id = k.merchant_id AND t.subject_id = k.subject_id AND t.version = k.version
WHERE t.change_id = k.change_id;

-- insert_instructions: take keys; a key that is taken stays with its first instruction
INSERT INTO instruction (merchant_id, idempotency_key, instruction_id, operation, path, fingerprint,
                         fingerprint_version, request, payment_id, subject_id, at, traceparent)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::bytea[]), unnest($7::smallint[]), unnest($8::bytea[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::timestamptz[]), unnest($12::text[])
ON CONFLICT DO NOTHING
RETURNING coalesce(instruction_id, 'ins' || substr(coalesce(subject_id, payment_id),
                                                   strpos(coalesce(subject_id, payment_id), '_')));

-- take_free_keys: take keys, or none of them where one is taken. One that is being taken meanwhile is an error
INSERT INTO instruction (merchant_id, idempotency_key, instruction_id, operation, path, fingerprint,
                         fingerprint_version, request, payment_id, subject_id, at, traceparent)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::bytea[]), unnest($7::smallint[]), unnest($8::bytea[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::timestamptz[]), unnest($12::text[])
WHERE NOT EXISTS (
    SELECT 1 FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS idempotency_key) AS k
    JOIN instruction i ON i.merchant_id = k.merchant_id AND i.idempotency_key = k.idempotency_key);

-- insert_transitions: append history; a version that exists already means that the race was lost
INSERT INTO transition (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state,
                        event, cause, actor, provider_reference, at, occurred_at, change, evidence, lead_version,
                        key_kind)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::int[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::timestamptz[]), unnest($14::timestamptz[]),
       unnest($15::text[])::json, unnest($16::text[])::json, unnest($17::int[]), unnest($18::text[])
ON CONFLICT DO NOTHING
RETURNING merchant_id, subject_id, version, change_id;

-- append_transitions: append history. A version that exists already is an error, and nothing is written
INSERT INTO transition (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state,
                        event, cause, actor, provider_reference, at, occurred_at, change, evidence, lead_version,
                        key_kind)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::int[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::timestamptz[]), unnest($14::timestamptz[]),
       unnest($15::text[])::json, unnest($16::text[])::json, unnest($17::int[]), unnest($18::text[]);

-- insert_payments: the first state of each payment
INSERT INTO payment (merchant_id, payment_id, version, state, amount, currency, amount_authorized, amount_captured,
                     amount_refunded, amount_refund_pending, amount_reversed, amount_late, amount_late_accepted,
                     amount_late_returning, amount_late_returned, late_movements, provider_operations, capture_method,
                     payment_method, provider, provider_reference, next_action, failure, description, metadata,
                     created_at, updated_at, exponent, provider_exponent, personal_key)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::int[]), unnest($4::text[]), unnest($5::bigint[]),
       unnest($6::text[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]),
       unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]),
       unnest($15::bigint[]), unnest($16::text[])::json, unnest($17::text[])::json, unnest($18::text[]),
       unnest($19::text[]), unnest($20::text[]), unnest($21::text[]), unnest($22::text[])::json,
       unnest($23::text[])::json, unnest($24::text[]), unnest($25::text[])::json, unnest($26::timestamptz[]),
       unnest($27::timestamptz[]), unnest($28::smallint[]), unnest($29::smallint[]), unnest($30::bytea[]);

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
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id, unnest($3::int[]) AS version,
             unnest($4::text[]) AS state, unnest($5::bigint[]) AS amount_authorized,
             unnest($6::bigint[]) AS amount_captured, unnest($7::bigint[]) AS amount_refunded,
             unnest($8::bigint[]) AS amount_refund_pending, unnest($9::bigint[]) AS amount_reversed,
             unnest($10::bigint[]) AS amount_late, unnest($11::bigint[]) AS amount_late_accepted,
             unnest($12::bigint[]) AS amount_late_returning, unnest($13::bigint[]) AS amount_late_returned,
             unnest($14::text[]) AS late_movements, unnest($15::text[]) AS provider_operations,
             unnest($16::text[]) AS provider_reference, unnest($17::text[]) AS next_action,
             unnest($18::text[]) AS failure, unnest($19::timestamptz[]) AS updated_at) AS k
WHERE p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id AND p.version < k.version;

-- insert_attempts: the first state of each attempt, and recovery's schedule on the database's clock ($29: shift in ms)
INSERT INTO attempt (merchant_id, payment_id, attempt_id, version, state, operation, purpose, refund_id,
                     idempotency_key, amount, currency, capture, payment_method, provider, account, provider_key,
                     provider_reference, parent_reference, submissions, late_effect, key_taken, opened_at, deadline,
                     settled_after, next_check_at, parked_at, checks, api_version, key_kind,
                     traceparent)
SELECT a.merchant_id, a.payment_id, a.attempt_id, a.version, a.state, a.operation, a.purpose, a.refund_id,
       a.idempotency_key, a.amount, a.currency, a.capture, a.payment_method, a.provider, a.account, a.provider_key,
       a.provider_reference, a.parent_reference, a.submissions, a.late_effect, a.key_taken, c.at,
       c.at + coalesce(a.deadline_in_ms, 0) * interval '1 millisecond',
       c.at + coalesce(a.settled_in_ms, 0) * interval '1 millisecond',
       c.at + a.next_check_in_ms * interval '1 millisecond',
       CASE WHEN a.parked THEN c.at END, 0, a.api_version, a.key_kind, a.traceparent
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id, unnest($3::text[]) AS attempt_id,
             unnest($4::int[]) AS version, unnest($5::text[]) AS state, unnest($6::text[]) AS operation,
             unnest($7::text[]) AS purpose, unnest($8::text[]) AS refund_id, unnest($9::text[]) AS idempotency_key,
             unnest($10::bigint[]) AS amount, unnest($11::text[]) AS currency, unnest($12::boolean[]) AS capture,
             unnest($13::text[]) AS payment_method, unnest($14::text[]) AS provider, unnest($15::text[]) AS account,
             unnest($16::text[]) AS provider_key, unnest($17::text[]) AS provider_reference,
             unnest($18::text[]) AS parent_reference, unnest($19::int[]) AS submissions,
             unnest($20::boolean[]) AS late_effect, unnest($21::boolean[]) AS key_taken,
             unnest($22::bigint[]) AS next_check_in_ms, unnest($23::bigint[]) AS deadline_in_ms,
             unnest($24::bigint[]) AS settled_in_ms, unnest($25::boolean[]) AS parked,
             unnest($26::text[]) AS api_version, unnest($27::text[]) AS key_kind,
             unnest($28::text[]) AS traceparent) AS a,
     (SELECT now() + $29::bigint * interval '1 millisecond' AS at) AS c;

-- move_attempts: the state after this version, and recovery's schedule ($14: shift in ms)
WITH k AS MATERIALIZED (
    SELECT w.merchant_id, w.payment_id, w.attempt_id, w.version, w.state, w.provider_reference, w.submissions,
           w.late_effect, w.key_taken, c.at + coalesce(w.deadline_in_ms, 0) * interval '1 millisecond' AS deadline,
           c.at + coalesce(w.settled_in_ms, 0) * interval '1 millisecond' AS settled_after,
           c.at + w.next_check_in_ms * interval '1 millisecond' AS next_check_at,
           CASE WHEN w.parked THEN c.at END AS parked_at
    FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id, unnest($3::text[]) AS attempt_id,
                 unnest($4::int[]) AS version, unnest($5::text[]) AS state, unnest($6::text[]) AS provider_reference,
                 unnest($7::int[]) AS submissions, unnest($8::boolean[]) AS late_effect,
                 unnest($9::boolean[]) AS key_taken, unnest($10::bigint[]) AS next_check_in_ms,
                 unnest($11::bigint[]) AS deadline_in_ms, unnest($12::bigint[]) AS settled_in_ms,
                 unnest($13::boolean[]) AS parked) AS w,
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
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::int[]), unnest($5::smallint[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::bigint[]), unnest($10::text[]),
       unnest($11::timestamptz[]);

-- insert_responses: final answers
INSERT INTO response (merchant_id, idempotency_key, status, body, at, api_version)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::smallint[]), unnest($4::bytea[]), unnest($5::timestamptz[]),
       unnest($6::text[]);

-- insert_rejections: refused transitions
INSERT INTO rejection (merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause,
                       actor, origin, reason, alert, idempotency_key, at, evidence, key_kind, category)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::int[]), unnest($8::text[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::boolean[]), unnest($14::text[]),
       unnest($15::timestamptz[]), unnest($16::text[])::json, unnest($17::text[]), unnest($18::text[])
ON CONFLICT DO NOTHING;

-- insert_acts: operators' acts; one whose key is taken stays with its first act, and is not returned
INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, merchant_id, payment_id, arguments,
                          fingerprint, reason, key_kind, change_id, result, at)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::text[]), unnest($8::text[])::json, unnest($9::bytea[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]), unnest($13::text[])::json, unnest($14::timestamptz[])
ON CONFLICT DO NOTHING
RETURNING act_id;

-- hold_news: of these events of the inbox, those that a file told of which is not withdrawn: until this transaction ends
-- no withdrawal is done with them
UPDATE settlement_news n SET tries = n.tries
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id) AS k
WHERE n.provider = k.provider AND n.account = k.account AND n.provider_event_id = k.provider_event_id AND NOT n.is_withdrawn
RETURNING n.provider, n.account, n.provider_event_id;

-- insert_answers: what providers answered where that was no plain success
INSERT INTO provider_answer (merchant_id, payment_id, change_id, attempt_id, asked, status, size_bytes, at, subject_id,
                             version, rejection_id, sealed)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::smallint[]), unnest($7::int[]), unnest($8::timestamptz[]), unnest($9::text[]), unnest($10::int[]),
       unnest($11::text[]), unnest($12::bytea[]);

-- insert_answer_keys: the keys of their bytes, which an erasure takes
INSERT INTO provider_answer_key (merchant_id, payment_id, change_id, raw_key)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bytea[]);

-- write_deadlines: when to look at authorizations ($4: shift in ms)
INSERT INTO deadline (merchant_id, payment_id, due_at, checks)
SELECT merchant_id, payment_id, now() + (due_in_ms + $4::bigint) * interval '1 millisecond', 0
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id,
             unnest($3::bigint[]) AS due_in_ms) AS d
ON CONFLICT (merchant_id, payment_id) DO UPDATE SET due_at = excluded.due_at, lease_until = NULL;

-- insert_references: providers' references of charges; the first one stays
INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::text[])
ON CONFLICT DO NOTHING;

-- insert_messages: messages to merchants
INSERT INTO outbox (merchant_id, stream_id, version, subject_id, message_id, type, body, at, answer_key, api_version,
                    key_kind, traceparent)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::int[]), unnest($4::text[]), unnest($5::text[]),
       unnest($6::text[]), unnest($7::bytea[]), unnest($8::timestamptz[]), unnest($9::text[]), unnest($10::text[]),
       unnest($11::text[]), unnest($12::text[]);

-- insert_processing: tries at events of providers, with their results
INSERT INTO processing (provider, account, provider_event_id, try_id, number, started_at, ended_at, result, detail,
                        change_id, actor)
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::int[]),
       unnest($6::timestamptz[]), unnest($7::timestamptz[]), unnest($8::text[]), unnest($9::text[]),
       unnest($10::text[]), unnest($11::text[])
ON CONFLICT DO NOTHING;

-- acknowledge: close events, or set when they are tried again; a closed event stays closed, and a try without a
-- decision does not change an event that another worker has leased ($11: shift in ms)
WITH a AS MATERIALIZED (
    SELECT w.provider, w.account, w.provider_event_id, w.state, w.detail, w.number, w.merchant_id, w.payment_id,
           w.lease, now() + (w.next_try_in_ms + $11::bigint) * interval '1 millisecond' AS next_try_at,
           CASE WHEN w.next_try_in_ms IS NULL THEN now() + $11::bigint * interval '1 millisecond' END AS closed_at,
           (extract(epoch FROM now()) * 1000)::bigint + w.next_try_in_ms AS turn
    FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id,
                 unnest($4::text[]) AS state, unnest($5::text[]) AS detail, unnest($6::int[]) AS number,
                 unnest($7::bigint[]) AS next_try_in_ms, unnest($8::text[]) AS merchant_id,
                 unnest($9::text[]) AS payment_id, unnest($10::text[]) AS lease) AS w
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
SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::numeric[]), unnest($5::numeric[])
ON CONFLICT (merchant_id, account, currency) DO UPDATE SET
    debits = balance.debits + excluded.debits, credits = balance.credits + excluded.credits;
