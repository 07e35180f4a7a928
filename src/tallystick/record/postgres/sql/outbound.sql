-- The columns payment_id of message_delivery and message_lane hold the id of a stream.

-- waiting: the oldest undispatched messages, with all other undispatched messages of their payments, so that a later
-- message of a payment never comes without the earlier ones
SELECT o.merchant_id, o.stream_id, o.version, o.subject_id, o.message_id, o.type
FROM (SELECT DISTINCT w.merchant_id, w.stream_id
      FROM (SELECT merchant_id, stream_id FROM outbox WHERE dispatched_at IS NULL ORDER BY at LIMIT $1) w) p
JOIN outbox o ON o.merchant_id = p.merchant_id AND o.stream_id = p.stream_id
WHERE o.dispatched_at IS NULL;

-- waiting_of: the same for one merchant, in any order of payments
SELECT o.merchant_id, o.stream_id, o.version, o.subject_id, o.message_id, o.type
FROM (SELECT DISTINCT w.merchant_id, w.stream_id
      FROM (SELECT merchant_id, stream_id FROM outbox WHERE dispatched_at IS NULL AND merchant_id = $2 LIMIT $1) w) p
JOIN outbox o ON o.merchant_id = p.merchant_id AND o.stream_id = p.stream_id
WHERE o.dispatched_at IS NULL;

-- subscribers: the endpoints of these merchants
SELECT merchant_id, endpoint_id, event_types, state
FROM webhook_endpoint
WHERE merchant_id = ANY($1::text[]) AND state <> 'deleted';

-- mark: mark messages as dispatched; those that another worker marked first are not returned ($5: shift in ms)
UPDATE outbox o SET dispatched_at = now() + $5::bigint * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS k (merchant_id, stream_id, version, subject_id)
WHERE o.merchant_id = k.merchant_id AND o.stream_id = k.stream_id AND o.version = k.version
  AND o.subject_id = k.subject_id AND o.dispatched_at IS NULL
RETURNING o.merchant_id, o.stream_id, o.version, o.subject_id;

-- insert_deliveries: one for each endpoint that wants the message, a microsecond apart so that the log keeps their order
-- ($9: shift in ms)
INSERT INTO message_delivery (merchant_id, endpoint_id, payment_id, version, subject_id, message_id, type, state, tries,
                              resends, next_try_at, dispatched_at, closed_at)
SELECT d.merchant_id, d.endpoint_id, d.payment_id, d.version, d.subject_id, d.message_id, d.type, d.state, 0, 0,
       CASE WHEN d.state = 'open' THEN now() + $9::bigint * interval '1 millisecond' END,
       now() + $9::bigint * interval '1 millisecond' + d.place * interval '1 microsecond',
       CASE WHEN d.state <> 'open' THEN now() + $9::bigint * interval '1 millisecond' END
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[])
     WITH ORDINALITY
     AS d (merchant_id, endpoint_id, payment_id, version, subject_id, message_id, type, state, place)
ON CONFLICT DO NOTHING;

-- bump_generations: these queues got messages; an existing queue keeps the time of its first message ($4: shift)
INSERT INTO message_lane (merchant_id, endpoint_id, payment_id, rung, next_try_at)
SELECT k.merchant_id, k.endpoint_id, k.payment_id, 1, now() + $4::bigint * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, endpoint_id, payment_id)
ON CONFLICT (merchant_id, endpoint_id, payment_id) DO UPDATE SET rung = message_lane.rung + 1;

-- hasten: the same, and the queues are due now
INSERT INTO message_lane (merchant_id, endpoint_id, payment_id, rung, next_try_at)
SELECT k.merchant_id, k.endpoint_id, k.payment_id, 1, now() + $4::bigint * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, endpoint_id, payment_id)
ON CONFLICT (merchant_id, endpoint_id, payment_id)
DO UPDATE SET rung = message_lane.rung + 1, next_try_at = LEAST(message_lane.next_try_at, excluded.next_try_at);

-- ready: up to $1 endpoints with a due queue, without the busy ones ($2) and those of the merchants $4: the first
-- endpoint of each merchant, then the second, longest wait first; and whether they are failing. Only the first queue of
-- each endpoint is read ($3: shift in ms)
WITH e AS MATERIALIZED (
    SELECT w.merchant_id, w.endpoint_id, w.failing_since IS NOT NULL AS failing,
           (SELECT min(l.next_try_at) FROM message_lane l
            WHERE l.merchant_id = w.merchant_id AND l.endpoint_id = w.endpoint_id
              AND (l.lease_until IS NULL OR l.lease_until < now() + $3::bigint * interval '1 millisecond')) AS first_at
    FROM webhook_endpoint w
    WHERE w.state = 'enabled' AND w.endpoint_id <> ALL ($2::text[]) AND w.merchant_id <> ALL ($4::text[])
      AND EXISTS (SELECT 1 FROM message_lane a WHERE a.next_try_at <= now() + $3::bigint * interval '1 millisecond'))
SELECT merchant_id, endpoint_id, failing FROM e
WHERE first_at <= now() + $3::bigint * interval '1 millisecond'
ORDER BY row_number() OVER (PARTITION BY merchant_id ORDER BY first_at), first_at
LIMIT $1;

-- due: an endpoint's first $3 queues that are due ($4: shift in ms)
SELECT merchant_id, endpoint_id, payment_id, next_try_at
FROM message_lane
WHERE merchant_id = $1 AND endpoint_id = $2 AND next_try_at <= now() + $4::bigint * interval '1 millisecond'
  AND (lease_until IS NULL OR lease_until < now() + $4::bigint * interval '1 millisecond')
ORDER BY next_try_at
LIMIT $3;

-- lease: lease the queues that are still due, as $4, for $5 ms; with the first open message of each as one array, since
-- a subquery has one column: version, subject, message, tries, resends, and when it is due in µs since 1970 ($6: shift
-- in ms)
UPDATE message_lane l SET lease = $4, lease_until = now() + ($5::bigint + $6::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, endpoint_id, payment_id)
WHERE l.merchant_id = k.merchant_id AND l.endpoint_id = k.endpoint_id AND l.payment_id = k.payment_id
  AND l.next_try_at <= now() + $6::bigint * interval '1 millisecond'
  AND (l.lease_until IS NULL OR l.lease_until < now() + $6::bigint * interval '1 millisecond')
RETURNING l.merchant_id, l.endpoint_id, l.payment_id, l.rung,
          (SELECT ARRAY[d.version::text, d.subject_id, d.message_id, d.tries::text, d.resends::text,
                        (date_part('epoch', d.next_try_at - timestamptz 'epoch') * 1000000)::bigint::text]
           FROM message_delivery d
           WHERE d.merchant_id = l.merchant_id AND d.endpoint_id = l.endpoint_id AND d.payment_id = l.payment_id
             AND d.state = 'open'
           ORDER BY d.version, d.subject_id LIMIT 1) AS head;

-- heads: those of these messages that are due, as written with their versions: whole, or with the answer that is their
-- data ($7: shift in ms)
SELECT k.merchant_id, k.endpoint_id, k.stream_id, o.version, o.message_id, o.type, o.at, o.body,
       o.api_version AS written_in, o.key_kind, o.traceparent, r.body AS answer, e.url, e.api_version,
       (extract(epoch FROM now() - e.failing_since) * 1000)::bigint + $7::bigint AS failing_for_ms
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::bigint[])
     AS k (merchant_id, endpoint_id, stream_id, version, subject_id, due_us)
JOIN webhook_endpoint e
  ON e.merchant_id = k.merchant_id AND e.endpoint_id = k.endpoint_id AND e.state = 'enabled'
JOIN outbox o
  ON o.merchant_id = k.merchant_id AND o.stream_id = k.stream_id AND o.version = k.version
 AND o.subject_id = k.subject_id
LEFT JOIN response r ON r.merchant_id = o.merchant_id AND r.idempotency_key = o.answer_key
WHERE (o.body IS NOT NULL OR r.body IS NOT NULL)
  AND k.due_us <= extract(epoch FROM now()) * 1000000 + $7::bigint * 1000;

-- signing_secrets: what signs for these endpoints now, newest first ($3: shift in ms)
SELECT s.merchant_id, s.endpoint_id, s.secret_id, s.sealed
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, endpoint_id)
JOIN webhook_secret s ON s.merchant_id = k.merchant_id AND s.endpoint_id = k.endpoint_id
WHERE s.expires_at IS NULL OR s.expires_at > now() + $3::bigint * interval '1 millisecond'
ORDER BY s.created_at DESC, s.secret_id DESC;

-- insert_tries: the result of each try
INSERT INTO message_try (merchant_id, endpoint_id, message_id, try_id, number, resends, started_at, duration_ms, result,
                         status, detail)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::int[], $7::timestamptz[],
                     $8::int[], $9::text[], $10::int[], $11::text[])
ON CONFLICT DO NOTHING;

-- settle_deliveries: delivered, given up, or tried again in so many ms ($10: shift in ms). A delivery that was
-- reopened meanwhile stays open; one that was canceled meanwhile may still have been delivered
WITH k AS MATERIALIZED (
    SELECT w.merchant_id, w.endpoint_id, w.payment_id, w.version, w.subject_id, w.state, w.tries, w.resends,
           CASE WHEN w.state = 'open' THEN now() + (w.in_ms + $10::bigint) * interval '1 millisecond' END AS next_try_at,
           CASE WHEN w.state <> 'open' THEN now() + $10::bigint * interval '1 millisecond' END AS closed_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::int[], $8::int[],
                $9::bigint[])
         AS w (merchant_id, endpoint_id, payment_id, version, subject_id, state, tries, resends, in_ms)
)
UPDATE message_delivery d
SET state = k.state, tries = k.tries + 1, next_try_at = k.next_try_at, closed_at = k.closed_at
FROM k
WHERE d.merchant_id = k.merchant_id AND d.endpoint_id = k.endpoint_id AND d.payment_id = k.payment_id
  AND d.version = k.version AND d.subject_id = k.subject_id
  AND d.resends = k.resends AND d.tries = k.tries
  AND (d.state = 'open' OR (d.state = 'canceled' AND k.state = 'delivered'));

-- leave_empty: delete queues without messages; a queue that got a message meanwhile stays
DELETE FROM message_lane l
USING unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
      AS k (merchant_id, endpoint_id, payment_id, rung, lease)
WHERE l.merchant_id = k.merchant_id AND l.endpoint_id = k.endpoint_id AND l.payment_id = k.payment_id
  AND l.lease = k.lease AND l.rung = k.rung
  AND NOT EXISTS (
    SELECT 1 FROM message_delivery d
    WHERE d.merchant_id = l.merchant_id AND d.endpoint_id = l.endpoint_id AND d.payment_id = l.payment_id
      AND d.state = 'open');

-- release: end the lease of queues until their first open message is due; one with a new message is read again
UPDATE message_lane l
SET lease = NULL, lease_until = NULL,
    next_try_at = CASE WHEN l.rung = k.rung THEN COALESCE(
        (SELECT d.next_try_at FROM message_delivery d
         WHERE d.merchant_id = l.merchant_id AND d.endpoint_id = l.endpoint_id AND d.payment_id = l.payment_id
           AND d.state = 'open'
         ORDER BY d.version, d.subject_id LIMIT 1), l.next_try_at) ELSE l.next_try_at END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
     AS k (merchant_id, endpoint_id, payment_id, rung, lease)
WHERE l.merchant_id = k.merchant_id AND l.endpoint_id = k.endpoint_id AND l.payment_id = k.payment_id
  AND l.lease = k.lease;

-- failing: endpoints that fail from now on, unless they fail already ($3: shift in ms)
UPDATE webhook_endpoint e SET failing_since = now() + $3::bigint * interval '1 millisecond'
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, endpoint_id)
WHERE e.merchant_id = k.merchant_id AND e.endpoint_id = k.endpoint_id AND e.failing_since IS NULL;

-- recovered: endpoints that answered again
UPDATE webhook_endpoint e SET failing_since = NULL
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, endpoint_id)
WHERE e.merchant_id = k.merchant_id AND e.endpoint_id = k.endpoint_id AND e.failing_since IS NOT NULL;

-- register: a merchant's endpoint, if it has fewer than $6 and none with this URL ($7: shift in ms; $8:
-- its version)
INSERT INTO webhook_endpoint (merchant_id, endpoint_id, url, description, event_types, state, created_at, api_version)
SELECT $1, $2, $3, $4, $5::text[], 'enabled', now() + $7::bigint * interval '1 millisecond', $8::text
WHERE (SELECT count(*) FROM webhook_endpoint WHERE merchant_id = $1 AND state <> 'deleted') < $6::int
ON CONFLICT (merchant_id, url) WHERE state <> 'deleted' DO NOTHING
RETURNING endpoint_id;

-- endpoint_at: the merchant's endpoint with this URL
SELECT endpoint_id FROM webhook_endpoint WHERE merchant_id = $1 AND url = $2 AND state <> 'deleted';

-- insert_secret: a secret that signs an endpoint's messages ($5: shift in ms)
INSERT INTO webhook_secret (merchant_id, endpoint_id, secret_id, sealed, created_at)
VALUES ($1, $2, $3, $4, now() + $5::bigint * interval '1 millisecond');

-- retire_secrets: earlier secrets end in $3 ms, or sooner if set before ($4: shift in ms)
UPDATE webhook_secret
SET expires_at = LEAST(expires_at, now() + ($3::bigint + $4::bigint) * interval '1 millisecond')
WHERE merchant_id = $1 AND endpoint_id = $2
RETURNING expires_at;

-- drop_secrets: delete ended secrets ($3: shift in ms)
DELETE FROM webhook_secret
WHERE merchant_id = $1 AND endpoint_id = $2 AND expires_at <= now() + $3::bigint * interval '1 millisecond';

-- drop_all_secrets: delete a deleted endpoint's secrets
DELETE FROM webhook_secret WHERE merchant_id = $1 AND endpoint_id = $2;

-- cancel_open: cancel the open deliveries of an endpoint ($3: shift in ms)
UPDATE message_delivery d
SET state = 'canceled', next_try_at = NULL, closed_at = now() + $3::bigint * interval '1 millisecond'
FROM message_lane l
WHERE l.merchant_id = $1 AND l.endpoint_id = $2
  AND d.merchant_id = l.merchant_id AND d.endpoint_id = l.endpoint_id AND d.payment_id = l.payment_id
  AND d.state = 'open';

-- drop_queues: delete an endpoint's queues
DELETE FROM message_lane WHERE merchant_id = $1 AND endpoint_id = $2;

-- set_state: an endpoint in a state of $3 goes to $4 ($6: shift in ms)
WITH k AS MATERIALIZED (
    SELECT CASE WHEN $4::text <> 'enabled' THEN now() + $6::bigint * interval '1 millisecond' END AS disabled_at
)
UPDATE webhook_endpoint e
SET state = $4::text, disabled_reason = $5, failing_since = NULL, disabled_at = k.disabled_at
FROM k
WHERE e.merchant_id = $1 AND e.endpoint_id = $2 AND e.state = ANY($3::text[])
RETURNING e.endpoint_id;

-- insert_act: an action on an endpoint ($7: shift in ms)
INSERT INTO webhook_endpoint_act (merchant_id, endpoint_id, act_id, act, detail, actor, at)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::bigint * interval '1 millisecond');

-- endpoints: a merchant's endpoints, or one of them, oldest first
SELECT endpoint_id, url, description, event_types, state, disabled_reason, disabled_at, failing_since, created_at,
       api_version
FROM webhook_endpoint
WHERE merchant_id = $1 AND ($2::text IS NULL OR endpoint_id = $2) AND state <> 'deleted'
ORDER BY created_at, endpoint_id;

-- log: a page of an endpoint's deliveries, newest first, after ($4, $5)
SELECT message_id, type, payment_id AS stream_id, version, state, tries, resends, next_try_at, dispatched_at, closed_at
FROM message_delivery
WHERE merchant_id = $1 AND endpoint_id = $2 AND ($3::text IS NULL OR state = $3)
  AND ($4::timestamptz IS NULL OR (dispatched_at, message_id) < ($4, $5::text))
ORDER BY dispatched_at DESC, message_id DESC
LIMIT $6;

-- delivery: one delivery
SELECT message_id, type, payment_id AS stream_id, version, state, tries, resends, next_try_at, dispatched_at, closed_at
FROM message_delivery
WHERE merchant_id = $1 AND endpoint_id = $2 AND message_id = $3;

-- tries: the latest $4 tries at a message, newest first
SELECT message_id, number, started_at, duration_ms, result, status, detail, actor
FROM message_try
WHERE merchant_id = $1 AND endpoint_id = $2 AND message_id = $3
ORDER BY try_id DESC
LIMIT $4;

-- unheard: up to $4 messages dispatched since $3 that an endpoint did not accept, or that came while it was disabled
SELECT message_id, payment_id AS stream_id
FROM message_delivery
WHERE merchant_id = $1 AND endpoint_id = $2 AND dispatched_at >= $3 AND state IN ('exhausted', 'canceled')
ORDER BY dispatched_at, message_id
LIMIT $4;

-- waiting_since: up to $4 open messages dispatched since $3 that wait for their next try, or behind one of their stream
-- that does ($5: shift in ms)
SELECT d.message_id, d.payment_id AS stream_id
FROM message_delivery d
WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.dispatched_at >= $3 AND d.state = 'open'
  AND EXISTS (
    SELECT 1 FROM message_delivery w
    WHERE w.merchant_id = d.merchant_id AND w.endpoint_id = d.endpoint_id AND w.payment_id = d.payment_id
      AND w.state = 'open' AND w.next_try_at > now() + $5::bigint * interval '1 millisecond')
ORDER BY d.dispatched_at, d.message_id
LIMIT $4;

-- waiting_in_streams: those of these streams that wait for their next try ($4: shift in ms)
SELECT message_id
FROM message_delivery
WHERE merchant_id = $1 AND endpoint_id = $2 AND payment_id = ANY($3::text[]) AND state = 'open'
  AND next_try_at > now() + $4::bigint * interval '1 millisecond';

-- reopen: send deliveries in one of the states $5 again from the beginning ($4: shift in ms)
UPDATE message_delivery d
SET state = 'open', tries = 0, resends = resends + 1, closed_at = NULL,
    next_try_at = now() + $4::bigint * interval '1 millisecond'
WHERE d.merchant_id = $1 AND d.endpoint_id = $2 AND d.message_id = ANY($3::text[]) AND d.state = ANY($5::text[])
RETURNING d.payment_id AS stream_id, d.message_id, d.resends;

-- record_resend: who requested a resend, beside the tries ($7: shift in ms)
INSERT INTO message_try (merchant_id, endpoint_id, message_id, try_id, number, resends, started_at, duration_ms, result,
                         actor)
SELECT $1, $2, k.message_id, k.try_id, 0, k.resends, now() + $7::bigint * interval '1 millisecond', 0,
       'resend_requested', $6
FROM unnest($3::text[], $4::text[], $5::int[]) AS k (message_id, try_id, resends);
