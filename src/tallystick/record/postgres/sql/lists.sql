-- refunds: a page of a merchant's refunds, newest first: created at $2 or later, and before ($3, $4) in this order. The
-- bounds are never null: an index is read from one to the other
SELECT * FROM refund
WHERE merchant_id = $1 AND created_at >= $2::timestamptz AND (created_at, refund_id) < ($3::timestamptz, $4::text)
ORDER BY created_at DESC, refund_id DESC
LIMIT $5;

-- refunds_in_state: the page of those in one state
SELECT * FROM refund
WHERE merchant_id = $1 AND state = $6 AND created_at >= $2::timestamptz
  AND (created_at, refund_id) < ($3::timestamptz, $4::text)
ORDER BY created_at DESC, refund_id DESC
LIMIT $5;

-- refunds_of_payment: the page of those of one payment; the state may be null
SELECT * FROM refund
WHERE merchant_id = $1 AND payment_id = $6 AND created_at >= $2::timestamptz
  AND (created_at, refund_id) < ($3::timestamptz, $4::text) AND ($7::text IS NULL OR state = $7)
ORDER BY created_at DESC, refund_id DESC
LIMIT $5;

-- refunds_in_doubt: which refunds of these payments of a merchant have an attempt in doubt, as in reads.sql ($3: shift in
-- ms)
SELECT DISTINCT a.refund_id FROM attempt a
WHERE a.merchant_id = $1 AND a.payment_id = ANY ($2::text[]) AND a.refund_id IS NOT NULL
  AND (a.state = 'unknown'
       OR (a.state IN ('not_sent', 'not_found') AND a.parked_at IS NOT NULL)
       OR (a.state = 'submitted' AND a.deadline < now() + $3::bigint * interval '1 millisecond'));

-- disputes: the page of a merchant's disputes, as refunds
SELECT * FROM dispute
WHERE merchant_id = $1 AND created_at >= $2::timestamptz AND (created_at, dispute_id) < ($3::timestamptz, $4::text)
ORDER BY created_at DESC, dispute_id DESC
LIMIT $5;

-- disputes_in_state: the page of those in one state
SELECT * FROM dispute
WHERE merchant_id = $1 AND state = $6 AND created_at >= $2::timestamptz
  AND (created_at, dispute_id) < ($3::timestamptz, $4::text)
ORDER BY created_at DESC, dispute_id DESC
LIMIT $5;

-- disputes_of_payment: the page of those of one payment; the state may be null
SELECT * FROM dispute
WHERE merchant_id = $1 AND payment_id = $6 AND created_at >= $2::timestamptz
  AND (created_at, dispute_id) < ($3::timestamptz, $4::text) AND ($7::text IS NULL OR state = $7)
ORDER BY created_at DESC, dispute_id DESC
LIMIT $5;

-- members: the newest $3 refunds and the newest $3 disputes of each of these payments, newest first
SELECT payment_id, member_id
FROM (SELECT payment_id, refund_id AS member_id,
             row_number() OVER (PARTITION BY payment_id ORDER BY created_at DESC, refund_id DESC) AS place
      FROM refund WHERE merchant_id = $1 AND payment_id = ANY ($2::text[])) r
WHERE place <= $3::int
UNION ALL
SELECT payment_id, member_id
FROM (SELECT payment_id, dispute_id AS member_id,
             row_number() OVER (PARTITION BY payment_id ORDER BY created_at DESC, dispute_id DESC) AS place
      FROM dispute WHERE merchant_id = $1 AND payment_id = ANY ($2::text[])) d
WHERE place <= $3::int;

-- events: the page of a merchant's events, newest first by their first arrival
SELECT event_id, provider, type, state, detail, received_at, tries, replays, payment_id
FROM inbox
WHERE merchant_id = $1 AND received_at >= $2::timestamptz AND (received_at, event_id) < ($3::timestamptz, $4::text)
ORDER BY received_at DESC, event_id DESC
LIMIT $5;

-- events_of_payment: the page of those that were routed to one payment
SELECT event_id, provider, type, state, detail, received_at, tries, replays, payment_id
FROM inbox
WHERE merchant_id = $1 AND payment_id = $6 AND received_at >= $2::timestamptz
  AND (received_at, event_id) < ($3::timestamptz, $4::text)
ORDER BY received_at DESC, event_id DESC
LIMIT $5;

-- messages: the page of a merchant's dispatched messages, oldest first: after ($2, $3) in this order, and before $4. Of
-- one type, which may be null: then the range may be read whole, for want of an index
SELECT o.message_id, o.type, o.stream_id, o.version, o.at, o.body, o.api_version, o.key_kind,
       o.traceparent, r.body AS answer
FROM outbox o
LEFT JOIN response r ON r.merchant_id = o.merchant_id AND r.idempotency_key = o.answer_key
WHERE o.merchant_id = $1 AND o.dispatched_at IS NOT NULL AND o.at < $4::timestamptz
  AND (o.at, o.message_id) > ($2::timestamptz, $3::text) AND ($6::text IS NULL OR o.type = $6)
ORDER BY o.at, o.message_id
LIMIT $5;

-- messages_of_payment: the page of those about one payment, all of whose messages are read; the type may be null
SELECT o.message_id, o.type, o.stream_id, o.version, o.at, o.body, o.api_version, o.key_kind,
       o.traceparent, r.body AS answer
FROM outbox o
LEFT JOIN response r ON r.merchant_id = o.merchant_id AND r.idempotency_key = o.answer_key
WHERE o.merchant_id = $1 AND o.stream_id = $7 AND o.dispatched_at IS NOT NULL AND o.at < $4::timestamptz
  AND (o.at, o.message_id) > ($2::timestamptz, $3::text) AND ($6::text IS NULL OR o.type = $6)
ORDER BY o.at, o.message_id
LIMIT $5;

-- messages_as_of: when the message was written that waits longest to be dispatched; now, where none waits ($1: shift in ms)
SELECT coalesce((SELECT at FROM outbox WHERE dispatched_at IS NULL ORDER BY at LIMIT 1),
                now() + $1::bigint * interval '1 millisecond');

-- events_as_of: when the event came whose turn it is; now, where none waits ($1: shift in ms)
SELECT coalesce((SELECT received_at FROM inbox WHERE next_try_at IS NOT NULL ORDER BY turn LIMIT 1),
                now() + $1::bigint * interval '1 millisecond');
