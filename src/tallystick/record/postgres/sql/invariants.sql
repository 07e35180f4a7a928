-- next_merchant: the first merchant after $1 with rows in the record
SELECT min(merchant_id) FROM (
    (SELECT merchant_id FROM merchant WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM instruction WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM response WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM transition WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM rejection WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM transfer WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM balance WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM payment WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM refund WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM attempt WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1) UNION ALL
    (SELECT merchant_id FROM deadline WHERE merchant_id > $1 ORDER BY merchant_id LIMIT 1)
) AS m;

-- payment_count: the number of payments of one merchant or (null) of all
SELECT count(*) FROM payment WHERE $1::text IS NULL OR merchant_id = $1;

-- part_ends: every $2th payment of a merchant, and the last one, with their places from 1
SELECT payment_id, place FROM (
    SELECT payment_id, row_number() OVER in_order AS place, lead(payment_id) OVER in_order AS following
    FROM payment WHERE merchant_id = $1 WINDOW in_order AS (ORDER BY payment_id)
) AS p
WHERE place % $2::bigint = 0 OR following IS NULL
ORDER BY place;

-- payments: a page of a merchant's payments after $2, each with the deadline of its authorization
SELECT p.*, (
    SELECT d.due_at FROM deadline d WHERE d.merchant_id = p.merchant_id AND d.payment_id = p.payment_id) AS due_at
FROM payment p
WHERE p.merchant_id = $1 AND p.payment_id > $2
ORDER BY p.payment_id
LIMIT $3;

-- messages: the messages about these streams: whole, or with the key of the answer that is their data
SELECT stream_id, version, subject_id, message_id, type, at, body, answer_key, api_version, key_kind, traceparent
FROM outbox
WHERE merchant_id = $1 AND stream_id = ANY(string_to_array($2::text, $3::text))
ORDER BY stream_id, version, subject_id;

-- responses: the recorded answers under these keys
SELECT idempotency_key, body FROM response WHERE merchant_id = $1 AND idempotency_key = ANY(string_to_array($2::text, $3::text));

-- attempts: the attempts of these payments, with their places in recovery's schedule ($4: shift in ms)
SELECT merchant_id, payment_id, attempt_id, version, state, operation, purpose, refund_id, idempotency_key, amount,
       currency, capture, payment_method, provider, account, provider_key, provider_reference, parent_reference,
       submissions, late_effect, key_taken, api_version, key_kind, traceparent, next_check_at, parked_at,
       (extract(epoch FROM now() - parked_at) * 1000)::bigint + $4::bigint AS parked_for_ms,
       (extract(epoch FROM now() - settled_after) * 1000)::bigint + $4::bigint AS settled_for_ms
FROM attempt
WHERE merchant_id = $1 AND payment_id = ANY(string_to_array($2::text, $3::text))
ORDER BY attempt_id;

-- transitions: the history of these subjects; evidence only where it alone has the amount
SELECT subject_id, version, change_id, subject, stream_id, from_state, to_state, event, at, change,
       CASE WHEN event = 'late_effect' THEN evidence END AS evidence, payment_id IS NOT NULL AS before_streams,
       key_kind
FROM history
WHERE merchant_id = $1 AND subject_id = ANY(string_to_array($2::text, $3::text))
ORDER BY subject_id, version;

-- transfers: the ledger rows of these streams
SELECT stream_id, subject_id, version, leg, kind, debit, credit, amount, currency
FROM transfer
WHERE merchant_id = $1 AND stream_id = ANY(string_to_array($2::text, $3::text))
ORDER BY subject_id, version, leg;

-- rejections: the refused transitions of these streams
SELECT stream_id, rejection_id, subject_id, state, version, event, origin, alert, idempotency_key, at
FROM rejection
WHERE merchant_id = $1 AND stream_id = ANY(string_to_array($2::text, $3::text))
ORDER BY rejection_id;

-- answers: the instructions under these keys, with their recorded answers
SELECT i.idempotency_key, i.payment_id, i.subject_id, i.status, i.body, i.api_version
FROM answered_instruction i
WHERE i.merchant_id = $1 AND i.idempotency_key = ANY(string_to_array($2::text, $3::text));

-- balances_equal_transfers: accounts whose balance is not the sum of their transfers
WITH pairs AS (
    SELECT debit, credit, currency, sum(amount) AS amount
    FROM transfer WHERE merchant_id = $1 GROUP BY debit, credit, currency
), legs AS (
    SELECT debit AS account, currency, amount AS debits, 0::numeric AS credits FROM pairs
    UNION ALL
    SELECT credit, currency, 0::numeric, amount FROM pairs
), sums AS (
    SELECT account, currency, sum(debits) AS debits, sum(credits) AS credits FROM legs GROUP BY account, currency
), kept AS (
    SELECT account, currency, debits, credits FROM balance WHERE merchant_id = $1
)
SELECT account AS subject_id,
       format('%s: balance has debits %s and credits %s, the transfers have %s and %s', currency,
              coalesce(k.debits::text, 'none'), coalesce(k.credits::text, 'none'),
              coalesce(s.debits, 0), coalesce(s.credits, 0)) AS detail
FROM sums s FULL JOIN kept k USING (account, currency)
WHERE coalesce(s.debits, 0) <> coalesce(k.debits, 0) OR coalesce(s.credits, 0) <> coalesce(k.credits, 0)
   OR (k.debits IS NULL AND s.debits IS NOT NULL)
ORDER BY account, currency;

-- debits_equal_credits: the trial balance of a merchant's ledger, by currency
SELECT currency AS subject_id, format('debits %s, credits %s', sum(debits), sum(credits)) AS detail
FROM balance WHERE merchant_id = $1
GROUP BY currency HAVING sum(debits) <> sum(credits);

-- transfers_without_transition: ledger rows without a step of history
SELECT t.subject_id, format('version %s, leg %s: %s', t.version, t.leg, t.kind) AS detail
FROM transfer t
WHERE t.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM history s
    WHERE s.merchant_id = t.merchant_id AND s.subject_id = t.subject_id AND s.version = t.version
      AND s.stream_id = t.stream_id);

-- erased_without_request: payments whose personal fields are gone, with no approved request for it
WITH approved AS MATERIALIZED (
    SELECT r.request_id, r.act, r.target FROM approval_request r
    JOIN approval_outcome o ON o.request_id = r.request_id AND o.outcome = 'approved'
    WHERE r.act IN ('payment.erase', 'merchant.erase')
)
SELECT p.payment_id AS subject_id, 'its personal fields are gone, and no approved request says so' AS detail
FROM payment p
WHERE p.merchant_id = $1
  AND (p.erased_by IS NOT NULL
       OR (p.personal_key IS NULL
           AND (p.description = '[erased]' OR p.metadata::text = '{"[erased]":"[erased]"}')))
  AND (p.erased_by IS NULL
       OR (p.erased_by, 'payment.erase', p.payment_id) NOT IN (SELECT request_id, act, target FROM approved)
          AND (p.erased_by, 'merchant.erase', p.merchant_id) NOT IN (SELECT request_id, act, target FROM approved));

-- answers_erased_without_request: answers of providers whose bytes nothing opens any more, with no approved request for it
WITH approved AS MATERIALIZED (
    SELECT r.request_id, r.act, r.target FROM approval_request r
    JOIN approval_outcome o ON o.request_id = r.request_id AND o.outcome = 'approved'
    WHERE r.act IN ('payment.erase', 'merchant.erase')
)
SELECT k.payment_id AS subject_id,
       format('the bytes of the answer of %s are gone, and no approved request says so', k.change_id) AS detail
FROM provider_answer_key k
WHERE k.merchant_id = $1 AND (k.raw_key IS NULL OR k.erased_by IS NOT NULL)
  AND (k.erased_by IS NULL
       OR (k.erased_by, 'payment.erase', k.payment_id) NOT IN (SELECT request_id, act, target FROM approved)
          AND (k.erased_by, 'merchant.erase', k.merchant_id) NOT IN (SELECT request_id, act, target FROM approved));

-- answers_without_step: kept answers of providers that are not what the step, or the refused transition, says that they
-- explain; and answers and keys without each other
SELECT a.payment_id AS subject_id,
       format('the answer of %s is not the one that %s names', a.change_id, coalesce(a.subject_id, a.rejection_id)) AS detail
FROM provider_answer a
LEFT JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.subject_id AND t.version = a.version
LEFT JOIN rejection j
  ON j.merchant_id = a.merchant_id AND j.stream_id = a.payment_id AND j.rejection_id = a.rejection_id
WHERE a.merchant_id = $1
  AND CASE WHEN a.subject_id IS NULL THEN j.evidence ELSE t.evidence END ->> 'answer'
      IS DISTINCT FROM encode(sha256(a.sealed), 'hex')
UNION ALL
SELECT a.payment_id, format('the answer of %s has no key', a.change_id) FROM provider_answer a
WHERE a.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM provider_answer_key k
    WHERE k.merchant_id = a.merchant_id AND k.payment_id = a.payment_id AND k.change_id = a.change_id)
UNION ALL
SELECT k.payment_id, format('the key of %s has no answer', k.change_id) FROM provider_answer_key k
WHERE k.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM provider_answer a
    WHERE a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.change_id = k.change_id);

-- events_erased_without_request: events of providers whose bytes nothing opens any more, with no approved request for it
WITH approved AS MATERIALIZED (
    SELECT r.request_id FROM approval_request r
    JOIN approval_outcome o ON o.request_id = r.request_id AND o.outcome = 'approved'
    WHERE r.act IN ('payment.erase', 'merchant.erase')
)
SELECT e.event_id AS subject_id, 'its bytes are gone, and no approved request says so' AS detail
FROM inbox e
WHERE (e.erased_by IS NOT NULL
       OR (e.raw_key IS NULL AND EXISTS (
           SELECT 1 FROM delivery d
           WHERE d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
             AND substr(d.sealed, 1, 1) = '\x03'::bytea)))
  AND (e.erased_by IS NULL OR e.erased_by NOT IN (SELECT request_id FROM approved));

-- instructions_without_subject: claimed keys whose payment or refund is missing
SELECT i.subject_id, format('key %s claimed it, and it is not there', i.idempotency_key) AS detail
FROM answered_instruction i
LEFT JOIN payment p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
LEFT JOIN refund r ON r.merchant_id = i.merchant_id AND r.refund_id = i.subject_id
WHERE i.merchant_id = $1
  AND (p.payment_id IS NULL OR (i.subject_id <> i.payment_id AND r.payment_id IS DISTINCT FROM i.payment_id));

-- instructions_without_deed: claimed keys with neither an attempt nor a rejection
SELECT i.subject_id, format('key %s opened no attempt and was not refused', i.idempotency_key) AS detail
FROM answered_instruction i
WHERE i.merchant_id = $1
  AND NOT EXISTS (
      SELECT 1 FROM attempt a
      WHERE a.merchant_id = i.merchant_id AND a.payment_id = i.payment_id AND a.idempotency_key = i.idempotency_key)
  AND NOT EXISTS (
      SELECT 1 FROM rejection j
      WHERE j.merchant_id = i.merchant_id AND j.stream_id = i.payment_id AND j.idempotency_key = i.idempotency_key);

-- shared_charges: provider references of more than one payment that was sent through one account. The names that several
-- payments have are few
WITH shared AS MATERIALIZED (
    SELECT provider, provider_reference
    FROM payment
    WHERE merchant_id = $1 AND provider_reference IS NOT NULL
    GROUP BY provider, provider_reference HAVING count(*) > 1
)
SELECT min(p.payment_id) AS subject_id,
       format('%s payments hold reference %s at %s', count(DISTINCT p.payment_id), p.provider_reference, p.provider) AS detail
FROM shared s
JOIN payment p ON p.merchant_id = $1 AND p.provider = s.provider AND p.provider_reference = s.provider_reference
LEFT JOIN attempt a ON a.merchant_id = $1 AND a.payment_id = p.payment_id AND a.operation = 'authorize'
GROUP BY p.provider, a.account, p.provider_reference HAVING count(DISTINCT p.payment_id) > 1;

-- alerts_without_case: rejections that alert and have no case, and cases without their rejection. Those of before cases
-- were made have no category: a worker opens theirs
SELECT j.rejection_id AS subject_id, format('alerts, and has no case (%s of a %s)', j.event, j.subject) AS detail
FROM rejection j
WHERE j.merchant_id = $1 AND j.alert AND j.category IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM rejected_case c
    WHERE c.merchant_id = j.merchant_id AND c.case_id = 'case' || substr(j.rejection_id, strpos(j.rejection_id, '_')))
UNION ALL
SELECT c.case_id, format('is of rejection %s, which is not there', c.rejection_id)
FROM rejected_case c
WHERE c.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM rejection j
    WHERE j.merchant_id = c.merchant_id AND j.stream_id = c.from_stream_id AND j.rejection_id = c.rejection_id);

-- acts_without_change: acts that a change carried out which is not in the history of what they were done to
SELECT a.act_id AS subject_id, format('%s of %s: its change %s is not there', a.act, a.target, a.change_id) AS detail
FROM (SELECT act_id, act, target, merchant_id, change_id FROM operator_act WHERE change_id IS NOT NULL OFFSET 0) AS a
LEFT JOIN history h ON h.merchant_id = a.merchant_id AND h.subject_id = a.target AND h.change_id = a.change_id
WHERE h.change_id IS NULL;

-- orphans: rows without their owner; rows of subjects and streams are checked by kind
WITH named AS MATERIALIZED (
    SELECT reference, payment_id FROM provider_reference WHERE merchant_id = $1
)
SELECT m.reference AS subject_id, 'reference to a payment that is not there' AS detail
FROM (SELECT reference, payment_id FROM named
      EXCEPT ALL
      SELECT n.reference, n.payment_id FROM named n
      JOIN payment p ON p.payment_id = n.payment_id WHERE p.merchant_id = $1) AS m
UNION ALL
SELECT d.payment_id, 'deadline of a payment that is not there' FROM deadline d
WHERE d.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM payment p WHERE p.merchant_id = d.merchant_id AND p.payment_id = d.payment_id)
UNION ALL
SELECT s.idempotency_key, 'response under a key that nobody claimed' FROM response s
WHERE s.merchant_id = $1 AND NOT EXISTS (
    SELECT 1 FROM instruction i WHERE i.merchant_id = s.merchant_id AND i.idempotency_key = s.idempotency_key);

-- mutable_history: forbidden rights of the application role ($1) on append-only tables
SELECT n.name AS subject_id, format('%s may %s it', $1::text, p.privilege) AS detail
FROM unnest(ARRAY['instruction', 'response', 'transition', 'rejection', 'transfer', 'delivery', 'processing',
                  'provider_reference', 'webhook_endpoint_act', 'message_try', 'sealing_key_act', 'operator_act',
                  'deployment', 'api_key_act', 'audit_restore', 'audit_key_rotation', 'provider_answer']) AS n (name),
     unnest(ARRAY['UPDATE', 'DELETE', 'TRUNCATE']) AS p (privilege)
WHERE has_table_privilege($1::text, n.name, p.privilege)
   OR (p.privilege = 'UPDATE' AND has_any_column_privilege($1::text, n.name, p.privilege))
UNION ALL
SELECT c.relname::text, format('%s has the powers of its owner', $1::text)
FROM unnest(ARRAY['instruction', 'response', 'transition', 'rejection', 'transfer', 'delivery', 'processing',
                  'provider_reference', 'webhook_endpoint_act', 'message_try', 'sealing_key_act', 'operator_act',
                  'deployment', 'api_key_act', 'audit_restore', 'audit_key_rotation', 'provider_answer']) AS n (name)
JOIN pg_class c ON c.oid = n.name::regclass
WHERE pg_has_role($1::text, c.relowner, 'MEMBER')
UNION ALL
-- The dispatcher marks messages; steps_are_told finds one that says something else than history.
SELECT 'outbox', format('%s may %s it', $1::text, p.privilege)
FROM unnest(ARRAY['DELETE', 'TRUNCATE']) AS p (privilege)
WHERE has_table_privilege($1::text, 'outbox', p.privilege);

-- missing_guards: primary keys and checks that the journal relies on and the database lacks
SELECT g.name AS subject_id, format('has no %s', g.definition) AS detail
FROM (VALUES
    ('instruction', 'PRIMARY KEY (merchant_id, idempotency_key)'),
    ('response', 'PRIMARY KEY (merchant_id, idempotency_key)'),
    ('transition', 'PRIMARY KEY (merchant_id, subject_id, version)'),
    ('transfer', 'PRIMARY KEY (merchant_id, stream_id, subject_id, version, leg)'),
    ('transfer', 'CHECK ((amount > 0))'),
    ('transfer', 'CHECK ((debit <> credit))'),
    ('balance', 'PRIMARY KEY (merchant_id, account, currency)'),
    ('payment', 'PRIMARY KEY (merchant_id, payment_id)'),
    ('refund', 'PRIMARY KEY (merchant_id, refund_id)'),
    ('dispute', 'PRIMARY KEY (merchant_id, dispute_id)'),
    ('inbox', 'PRIMARY KEY (provider, account, provider_event_id)'),
    ('delivery', 'PRIMARY KEY (provider, account, provider_event_id, delivery_id)'),
    ('processing', 'PRIMARY KEY (provider, account, provider_event_id, try_id)'),
    ('provider_reference', 'PRIMARY KEY (provider, account, reference)'),
    ('outbox', 'PRIMARY KEY (merchant_id, stream_id, version, subject_id)'),
    ('message_delivery', 'PRIMARY KEY (merchant_id, endpoint_id, payment_id, version, subject_id)'),
    ('message_lane', 'PRIMARY KEY (merchant_id, endpoint_id, payment_id)'),
    ('message_try', 'PRIMARY KEY (merchant_id, endpoint_id, message_id, try_id)'),
    ('webhook_secret', 'PRIMARY KEY (merchant_id, endpoint_id, secret_id)'),
    ('sealing_key_act', 'PRIMARY KEY (number)'),
    ('rejected_case', 'PRIMARY KEY (merchant_id, case_id)'),
    ('alert', 'PRIMARY KEY (merchant_id, alert_id)'),
    ('operator_act', 'PRIMARY KEY (operator, idempotency_key)'),
    ('provider_answer', 'PRIMARY KEY (merchant_id, payment_id, change_id)'),
    ('provider_answer_key', 'PRIMARY KEY (merchant_id, payment_id, change_id)'),
    ('attempt', 'PRIMARY KEY (merchant_id, payment_id, attempt_id)')
) AS g (name, definition)
WHERE NOT EXISTS (
    SELECT 1 FROM pg_constraint c
    WHERE c.conrelid = g.name::regclass AND c.convalidated AND pg_get_constraintdef(c.oid) = g.definition)
UNION ALL
SELECT 'webhook_endpoint', 'has no UNIQUE (merchant_id, url) of endpoints that are not deleted'
WHERE NOT EXISTS (
    SELECT 1 FROM pg_index x
    WHERE x.indrelid = 'webhook_endpoint'::regclass AND x.indisunique AND x.indisvalid
      AND pg_get_indexdef(x.indexrelid) LIKE '%(merchant_id, url) WHERE (state <> ''deleted''::text)');

-- events_without_story: events whose rows do not explain their state. History has another key than events, and no index
-- by change: both are read once and compared as sets; each change's lead is enough, and none is read where no event was
-- applied. Of the events that one missing change applied, one is named
WITH applied AS MATERIALIZED (
    SELECT e.event_id, e.merchant_id, e.payment_id, p.change_id
    FROM inbox e
    JOIN processing p
      ON p.provider = e.provider AND p.account = e.account AND p.provider_event_id = e.provider_event_id
    WHERE p.result = 'applied'
)
SELECT e.event_id AS subject_id, 'has no first delivery' AS detail FROM inbox e
WHERE NOT EXISTS (
    SELECT 1 FROM delivery d
    WHERE d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
      AND d.result = 'first')
UNION ALL
SELECT e.event_id, format('is %s, and no try or act came to that', e.state) FROM inbox e
WHERE e.next_try_at IS NULL AND e.state <> 'dead' AND NOT EXISTS (
    SELECT 1 FROM processing p
    WHERE p.provider = e.provider AND p.account = e.account AND p.provider_event_id = e.provider_event_id
      AND p.result = e.state)
UNION ALL
SELECT e.event_id, 'is dead, and was never tried' FROM inbox e
WHERE e.state = 'dead' AND NOT EXISTS (
    SELECT 1 FROM processing p
    WHERE p.provider = e.provider AND p.account = e.account AND p.provider_event_id = e.provider_event_id)
UNION ALL
SELECT m.event_id, format('was applied by change %s, which is not in history', m.change_id)
FROM (SELECT min(b.event_id) AS event_id, b.change_id
      FROM (SELECT merchant_id, payment_id AS stream_id, change_id, event_id, false AS recorded FROM applied
            UNION ALL
            SELECT merchant_id, coalesce(stream_id, subject_id), change_id, NULL, true FROM transition
            WHERE lead_version IS NULL AND EXISTS (SELECT 1 FROM applied)) AS b
      GROUP BY b.merchant_id, b.stream_id, b.change_id
      HAVING NOT bool_or(b.recorded)) AS m
UNION ALL
SELECT e.event_id, format('is %s, and nobody looks at it', e.state) FROM inbox e
WHERE e.next_try_at IS NULL AND e.state IN ('received', 'unroutable', 'not_ready', 'failed')
UNION ALL
SELECT d.delivery_id, 'arrival of an event that is not there' FROM delivery d
WHERE NOT EXISTS (
    SELECT 1 FROM inbox e
    WHERE e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id);

-- foreign_events_of_ours: foreign events that are ours; a charge that has just become known is compared within $1 ms
WITH named AS MATERIALIZED (
    SELECT event_id, provider, account, charge_reference FROM inbox
    WHERE state = 'foreign' AND charge_reference IS NOT NULL
      AND (closed_at IS NULL OR closed_at < now() + ($2::bigint - $1::bigint) * interval '1 millisecond')
)
SELECT e.event_id AS subject_id, 'is foreign, and has a payment or a mark of ours' AS detail FROM inbox e
WHERE e.state = 'foreign' AND (e.payment_id IS NOT NULL OR e.mark = 'ours')
UNION ALL
SELECT n.event_id, format('is foreign, and payment %s has its charge', r.payment_id)
FROM named n
JOIN provider_reference r ON r.provider = n.provider AND r.account = n.account AND r.reference = n.charge_reference;

-- overlooked_dead_letters: dead for longer than the alarm age ($1: ms, $2: shift of the clock in ms)
SELECT e.event_id AS subject_id, format('dead since %s', e.closed_at) AS detail FROM inbox e
WHERE e.state = 'dead'
  AND (e.closed_at IS NULL OR e.closed_at < now() + ($2::bigint - $1::bigint) * interval '1 millisecond');

-- overdue_events: open, and due for longer than the alarm age ($1: ms, $2: shift of the clock in ms)
SELECT e.event_id AS subject_id, format('is %s, and due since %s', e.state, e.next_try_at) AS detail FROM inbox e
WHERE e.next_try_at IS NOT NULL AND e.next_try_at < now() + ($2::bigint - $1::bigint) * interval '1 millisecond';

-- secrets_without_key: endpoint secrets that no known key opens. A record in which no process of this release began yet
-- has no keys, and is not looked at
WITH known AS MATERIALIZED (SELECT key_id FROM sealing_key_act)
SELECT s.endpoint_id AS subject_id,
       CASE WHEN substr(s.sealed, 1, 1) <> '\x01'::bytea OR length(s.sealed) <= 33
            THEN format('its secret %s is not sealed', s.secret_id)
            ELSE format('its secret %s is sealed by the key %s, which is not registered', s.secret_id,
                        encode(substr(s.sealed, 2, 4), 'hex')) END AS detail
FROM webhook_secret s
WHERE EXISTS (SELECT 1 FROM known)
  AND (substr(s.sealed, 1, 1) <> '\x01'::bytea OR length(s.sealed) <= 33
       OR substr(s.sealed, 2, 4) NOT IN (SELECT key_id FROM known));

-- events_without_key: kept bytes of provider events that no known key opens. What a payer has to do next is sealed in an
-- event by the same key
WITH known AS MATERIALIZED (SELECT key_id FROM sealing_key_act)
SELECT d.delivery_id AS subject_id,
       CASE WHEN substr(d.sealed, 1, 1) NOT IN ('\x01'::bytea, '\x03'::bytea) OR length(d.sealed) <= 33
            THEN 'its bytes are not sealed'
            ELSE format('its bytes are sealed by the key %s, which is not registered',
                        encode(substr(d.sealed, 2, 4), 'hex')) END AS detail
FROM delivery d
WHERE EXISTS (SELECT 1 FROM known)
  AND (substr(d.sealed, 1, 1) NOT IN ('\x01'::bytea, '\x03'::bytea) OR length(d.sealed) <= 33
       OR substr(d.sealed, 2, 4) NOT IN (SELECT key_id FROM known));

-- answers_without_key: kept answers of providers that no known key opens
WITH known AS MATERIALIZED (SELECT key_id FROM sealing_key_act)
SELECT a.payment_id AS subject_id,
       CASE WHEN substr(a.sealed, 1, 1) <> '\x03'::bytea OR length(a.sealed) <= 33
            THEN format('the answer of %s is not sealed', a.change_id)
            ELSE format('the answer of %s is sealed by the key %s, which is not registered', a.change_id,
                        encode(substr(a.sealed, 2, 4), 'hex')) END AS detail
FROM provider_answer a
WHERE EXISTS (SELECT 1 FROM known)
  AND (substr(a.sealed, 1, 1) <> '\x03'::bytea OR length(a.sealed) <= 33
       OR substr(a.sealed, 2, 4) NOT IN (SELECT key_id FROM known));

-- actions_without_key: payers' next actions that no known key opens
WITH known AS MATERIALIZED (SELECT key_id FROM sealing_key_act), kept AS (
    SELECT p.payment_id,
           CASE WHEN p.next_action ->> 'sealed' ~ '^[A-Za-z0-9+/]{8}'
                THEN decode(left(p.next_action ->> 'sealed', 8), 'base64') ELSE '\x'::bytea END AS head
    FROM payment p WHERE p.next_action ->> 'sealed' IS NOT NULL
)
SELECT payment_id AS subject_id,
       CASE WHEN substr(head, 1, 1) <> '\x01'::bytea THEN 'its next action is not sealed'
            ELSE format('its next action is sealed by the key %s, which is not registered',
                        encode(substr(head, 2, 4), 'hex')) END AS detail
FROM kept
WHERE EXISTS (SELECT 1 FROM known)
  AND (substr(head, 1, 1) <> '\x01'::bytea OR substr(head, 2, 4) NOT IN (SELECT key_id FROM known));

-- settled_without_evidence: posted and withdrawn batches and merchants' parts that are not what the evidence of their files comes to,
-- row by row; ledger: what the transfers of a stream move through the account between books. A batch that is posting is
-- not looked at. $1: parts that are merchants'; $2: how that account's name begins
WITH posted AS MATERIALIZED (
    SELECT b.batch_id, b.merchant_id, b.rows, b.net, b.merchants, b.fees + b.tax AS costs, b.files FROM settled_batch b
    WHERE b.state <> 'posting'
), counted AS MATERIALIZED (
    SELECT b.batch_id, b.batch, b.currency, json_array_elements_text(b.files) AS file_id FROM settled_batch b
    WHERE b.state <> 'posting'
), evidence AS MATERIALIZED (
    SELECT coalesce(e.counted_in, e.file_id) AS file_id, e.batch, e.currency,
           CASE WHEN e.part = ANY ($1::text[]) THEN e.merchant_id END AS merchant_id, e.kind,
           CASE WHEN e.reason = 'withdrawn' THEN 0 ELSE 1 END AS rows,
           e.gross - e.rounding - e.written_off AS gross, e.fee, e.net
    FROM settlement_evidence e
    UNION ALL
    SELECT l.counted_in, e.batch, e.currency, CASE WHEN e.part = ANY ($1::text[]) THEN e.merchant_id END, e.kind, -1,
           e.rounding + e.written_off - e.gross, -e.fee, -e.net
    FROM settlement_evidence l
    JOIN settlement_evidence e ON e.file_id = l.file_id AND e.position = l.position AND e.version = l.supersedes
    WHERE l.supersedes IS NOT NULL
), parts AS MATERIALIZED (
    SELECT s.batch_id, s.merchant_id, s.settlement_id, s.rows, s.fees, s.charges + s.charge_reversals + s.refunds
           + s.refund_reversals + s.disputes + s.dispute_reversals + s.late AS gross
    FROM settlement s
), moved AS MATERIALIZED (
    SELECT t.merchant_id, t.stream_id, sum(CASE WHEN starts_with(t.debit, $2) THEN t.amount ELSE -t.amount END) AS amount
    FROM transfer t WHERE starts_with(t.debit, $2) OR starts_with(t.credit, $2)
    GROUP BY t.merchant_id, t.stream_id
)
SELECT m.batch_id AS subject_id,
       format('posted %s rows, a net of %s, %s of merchants and %s of costs more than its evidence has', sum(m.rows),
              sum(m.net), sum(m.merchants), sum(m.costs)) AS detail
FROM (SELECT batch_id, rows, net, merchants, costs FROM posted
      UNION ALL
      SELECT c.batch_id, -e.rows, -e.net, CASE WHEN e.merchant_id IS NULL THEN 0 ELSE -e.gross END, -e.fee
      FROM counted c JOIN evidence e ON e.file_id = c.file_id AND e.batch = c.batch AND e.currency = c.currency) AS m
GROUP BY m.batch_id
HAVING sum(m.rows) <> 0 OR sum(m.net) <> 0 OR sum(m.merchants) <> 0 OR sum(m.costs) <> 0
UNION ALL
SELECT coalesce(max(m.settlement_id), m.batch_id),
       format('of merchant %s: posted %s rows, %s and fees of %s more than its evidence has', m.merchant_id, sum(m.rows),
              sum(m.gross), sum(m.fees))
FROM (SELECT s.batch_id, s.merchant_id, s.settlement_id, s.rows, s.gross, s.fees
      FROM parts s JOIN posted b ON b.batch_id = s.batch_id
      UNION ALL
      SELECT c.batch_id, e.merchant_id, NULL, -e.rows, -e.gross, CASE WHEN e.kind = 'tax' THEN 0 ELSE -e.fee END
      FROM counted c JOIN evidence e ON e.file_id = c.file_id AND e.batch = c.batch AND e.currency = c.currency
      WHERE e.merchant_id IS NOT NULL) AS m
GROUP BY m.batch_id, m.merchant_id
HAVING sum(m.rows) <> 0 OR sum(m.gross) <> 0 OR sum(m.fees) <> 0
UNION ALL
SELECT s.settlement_id, format('is of a batch %s that is not there', s.batch_id) FROM parts s
WHERE NOT EXISTS (SELECT 1 FROM settled_batch b WHERE b.batch_id = s.batch_id)
UNION ALL
SELECT s.settlement_id, format('says %s, and its transfers moved %s', s.gross, coalesce(v.amount, 0)) FROM parts s
LEFT JOIN moved v ON v.merchant_id = s.merchant_id AND v.stream_id = s.settlement_id
WHERE s.gross <> coalesce(v.amount, 0)
UNION ALL
SELECT b.batch_id, format('says %s of merchants, and its transfers moved %s', b.merchants, -coalesce(v.amount, 0))
FROM posted b
LEFT JOIN moved v ON v.merchant_id = b.merchant_id AND v.stream_id = b.batch_id
WHERE b.merchants <> -coalesce(v.amount, 0);

-- statements_without_evidence: bank statements that are not what the newest evidence of their entries comes to, what arrived
-- with them, and what their transfers moved. One with a comparison that is not posted is not looked at
WITH posted AS MATERIALIZED (
    SELECT b.* FROM bank_statement b WHERE b.comparisons = (
        SELECT max(c.number) FROM bank_comparison c
        WHERE c.provider = b.provider AND c.account = b.account AND c.batch = b.statement AND c.currency = b.currency)
), entries AS MATERIALIZED (
    SELECT b.statement_id, e.part, e.gross - e.written_off AS gross, e.written_off
    FROM posted b
    JOIN settlement_evidence_set s ON s.provider = b.provider AND s.account = b.account AND s.batch = b.statement
      AND s.currency = b.currency
    JOIN settlement_evidence e ON e.file_id = s.file_id AND e.batch = s.batch AND e.currency = s.currency
    WHERE NOT EXISTS (
        SELECT 1 FROM settlement_evidence l
        WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version)
), came AS MATERIALIZED (
    SELECT b.statement_id, a.provider, a.amount
    FROM posted b
    JOIN settlement_evidence_set s ON s.provider = b.provider AND s.account = b.account AND s.batch = b.statement
      AND s.currency = b.currency
    JOIN bank_arrival a ON a.file_id = s.file_id AND a.batch = s.batch AND a.currency = s.currency
), said AS MATERIALIZED (
    SELECT b.statement_id, a.value ->> 'provider' AS provider, (a.value ->> 'amount')::bigint AS amount
    FROM posted b, json_array_elements(b.arrivals) AS a
), moved AS MATERIALIZED (
    SELECT t.merchant_id, t.stream_id, starts_with(t.debit, 'bank:') AS into_bank,
           CASE WHEN starts_with(t.debit, 'bank:') THEN t.debit ELSE t.credit END AS bank,
           CASE WHEN starts_with(t.debit, 'bank:') THEN t.credit ELSE t.debit END AS other, t.amount
    FROM transfer t WHERE starts_with(t.debit, 'bank:') OR starts_with(t.credit, 'bank:')
)
SELECT m.statement_id AS subject_id,
       format('posted %s entries, %s arrived, fees of %s, %s unexplained and %s written off more than its evidence has',
              sum(m.entries), sum(m.arrived), sum(m.fees), sum(m.unexplained), sum(m.written_off)) AS detail
FROM (SELECT statement_id, entries, arrived, fees, unexplained, written_off FROM posted
      UNION ALL
      SELECT e.statement_id, -1, CASE WHEN e.part = 'arrived' THEN -e.gross ELSE 0 END,
             CASE WHEN e.part = 'bank_fees' THEN e.gross ELSE 0 END,
             CASE WHEN e.part = 'unexplained' THEN -e.gross ELSE 0 END, -e.written_off
      FROM entries e) AS m
GROUP BY m.statement_id
HAVING sum(m.entries) <> 0 OR sum(m.arrived) <> 0 OR sum(m.fees) <> 0 OR sum(m.unexplained) <> 0 OR sum(m.written_off) <> 0
UNION ALL
SELECT m.statement_id, format('says %s more of %s than what its payouts come to', sum(m.amount), m.provider)
FROM (SELECT statement_id, provider, amount FROM said
      UNION ALL
      SELECT statement_id, provider, -amount FROM came) AS m
GROUP BY m.statement_id, m.provider
HAVING sum(m.amount) <> 0
UNION ALL
SELECT m.statement_id, format('says %s more of %s than its transfers moved', sum(m.amount), m.other)
FROM (SELECT statement_id, 'bank_in_transit:' || provider AS other, amount FROM said
      UNION ALL
      SELECT statement_id, 'fees:bank', -fees FROM posted
      UNION ALL
      SELECT statement_id, 'write_off', written_off FROM posted
      UNION ALL
      SELECT statement_id, 'unexplained:bank:' || CASE WHEN provider = 'bank' THEN account ELSE provider || '/' || account END,
             unexplained
      FROM posted
      UNION ALL
      SELECT b.statement_id, v.other, CASE WHEN v.into_bank THEN -v.amount ELSE v.amount END
      FROM posted b JOIN moved v ON v.merchant_id = b.merchant_id AND v.stream_id = b.statement_id
        AND v.bank = 'bank:' || CASE WHEN b.provider = 'bank' THEN b.account ELSE b.provider || '/' || b.account END) AS m
GROUP BY m.statement_id, m.other
HAVING sum(m.amount) <> 0
UNION ALL
SELECT m.stream_id, format('moved %s in %s, and is no statement of it', m.amount, m.bank) FROM moved m
WHERE NOT EXISTS (
    SELECT 1 FROM bank_statement b WHERE b.merchant_id = m.merchant_id AND b.statement_id = m.stream_id
      AND m.bank = 'bank:' || CASE WHEN b.provider = 'bank' THEN b.account ELSE b.provider || '/' || b.account END)
UNION ALL
SELECT a.payout_file_id, format('of its payout at %s there arrived %s with %s entries, and %s were counted',
       a.payout_position, sum(a.amount), count(*), max(a.ordinal))
FROM bank_arrival a
GROUP BY a.payout_file_id, a.payout_position
HAVING max(a.ordinal) <> count(*);
