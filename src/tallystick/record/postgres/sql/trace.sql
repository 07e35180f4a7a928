-- of_payment: all that the merchant's tables have of one payment, in one snapshot: a JSON document a row, with the part
-- that it is of. Subjects without a row of their own are found by what names them ($1: merchant, $2: payment, $3: shift
-- in ms)
WITH attempts AS MATERIALIZED (
    SELECT * FROM attempt WHERE merchant_id = $1::text AND payment_id = $2::text
), messages AS MATERIALIZED (
    SELECT * FROM outbox WHERE merchant_id = $1::text AND stream_id = $2::text
), transfers AS MATERIALIZED (
    SELECT * FROM transfer WHERE merchant_id = $1::text AND stream_id = $2::text
), rejections AS MATERIALIZED (
    SELECT * FROM rejection WHERE merchant_id = $1::text AND stream_id = $2::text
), refunds AS MATERIALIZED (
    SELECT * FROM refund WHERE merchant_id = $1::text AND payment_id = $2::text
), disputes AS MATERIALIZED (
    SELECT * FROM dispute WHERE merchant_id = $1::text AND payment_id = $2::text
), subjects AS MATERIALIZED (
    SELECT $2::text AS subject_id
    UNION SELECT attempt_id FROM attempts UNION SELECT refund_id FROM attempts WHERE refund_id IS NOT NULL
    UNION SELECT refund_id FROM refunds UNION SELECT dispute_id FROM disputes
    UNION SELECT subject_id FROM transfers UNION SELECT subject_id FROM rejections UNION SELECT subject_id FROM messages
), keys AS MATERIALIZED (
    SELECT idempotency_key FROM attempts WHERE idempotency_key IS NOT NULL
    UNION SELECT idempotency_key FROM rejections WHERE idempotency_key IS NOT NULL
    UNION SELECT answer_key FROM messages WHERE answer_key IS NOT NULL
), deliveries AS MATERIALIZED (
    SELECT d.* FROM webhook_endpoint w
    JOIN message_delivery d ON d.merchant_id = w.merchant_id AND d.endpoint_id = w.endpoint_id
    WHERE w.merchant_id = $1::text AND d.payment_id = $2::text
)
SELECT 'clock' AS part, to_json(now() + $3::bigint * interval '1 millisecond')::text AS document
UNION ALL SELECT 'payment', to_json(p)::text FROM payment p WHERE p.merchant_id = $1::text AND p.payment_id = $2::text
UNION ALL SELECT 'attempt', to_json(a)::text FROM attempts a
UNION ALL SELECT 'refund', to_json(r)::text FROM refunds r
UNION ALL SELECT 'dispute', to_json(d)::text FROM disputes d
UNION ALL SELECT 'deadline', to_json(d)::text FROM deadline d
    WHERE d.merchant_id = $1::text AND d.payment_id = $2::text
UNION ALL SELECT 'step', to_json(h)::text FROM subjects s
    JOIN history h ON h.merchant_id = $1::text AND h.subject_id = s.subject_id
UNION ALL SELECT 'rejection', to_json(r)::text FROM rejections r
UNION ALL SELECT 'case', to_json(c)::text FROM rejected_case c
    WHERE c.merchant_id = $1::text AND c.from_stream_id = $2::text
UNION ALL SELECT 'transfer', to_json(t)::text FROM transfers t
UNION ALL SELECT 'message', to_json(m)::text FROM messages m
UNION ALL SELECT 'delivery', to_json(d)::text FROM deliveries d
UNION ALL SELECT 'send', to_json(t)::text FROM deliveries d
    JOIN message_try t ON t.merchant_id = d.merchant_id AND t.endpoint_id = d.endpoint_id AND t.message_id = d.message_id
UNION ALL SELECT 'queue', to_json(q)::text FROM webhook_endpoint w
    JOIN message_lane q ON q.merchant_id = w.merchant_id AND q.endpoint_id = w.endpoint_id
    WHERE w.merchant_id = $1::text AND q.payment_id = $2::text
UNION ALL SELECT 'instruction', to_json(i)::text FROM keys k
    JOIN answered_instruction i ON i.merchant_id = $1::text AND i.idempotency_key = k.idempotency_key
UNION ALL SELECT 'answer', to_json(r)::text FROM keys k
    JOIN response r ON r.merchant_id = $1::text AND r.idempotency_key = k.idempotency_key
UNION ALL SELECT 'replay', to_json(c)::text FROM keys k
    JOIN instruction_replay c ON c.merchant_id = $1::text AND c.idempotency_key = k.idempotency_key;

-- events_of_payment: what is kept under no merchant's key: the events of providers that were routed to one payment,
-- with their arrivals and tries, and without what arrived; and operators' acts about the payment, or about what belongs
-- to it ($1: merchant, $2: payment)
WITH events AS MATERIALIZED (
    SELECT * FROM inbox WHERE merchant_id = $1::text AND payment_id = $2::text
), erased AS MATERIALIZED (
    SELECT merchant_id, erased_by FROM payment
    WHERE merchant_id = $1::text AND payment_id = $2::text AND erased_by IS NOT NULL
), targets AS MATERIALIZED (
    SELECT event_id AS target FROM events
    UNION SELECT attempt_id FROM attempt WHERE merchant_id = $1::text AND payment_id = $2::text
    UNION SELECT refund_id FROM refund WHERE merchant_id = $1::text AND payment_id = $2::text
    UNION SELECT dispute_id FROM dispute WHERE merchant_id = $1::text AND payment_id = $2::text
    UNION SELECT rejection_id FROM rejection WHERE merchant_id = $1::text AND stream_id = $2::text
    UNION SELECT case_id FROM rejected_case WHERE merchant_id = $1::text AND from_stream_id = $2::text
    UNION SELECT message_id FROM outbox WHERE merchant_id = $1::text AND stream_id = $2::text
)
SELECT 'event' AS part, to_json(e)::text AS document FROM events e
UNION ALL SELECT 'arrival', json_build_object('provider_event_id', d.provider_event_id, 'delivery_id', d.delivery_id,
    'received_at', d.received_at, 'validated_at', d.validated_at, 'recorded_at', d.recorded_at, 'result', d.result)::text
    FROM events e
    JOIN delivery d ON d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
UNION ALL SELECT 'try', to_json(t)::text FROM events e
    JOIN processing t ON t.provider = e.provider AND t.account = e.account AND t.provider_event_id = e.provider_event_id
UNION ALL SELECT 'evidence', to_json(s)::text FROM settlement_evidence s
    WHERE s.merchant_id = $1::text AND s.payment_id = $2::text
UNION ALL SELECT 'act', to_json(o)::text FROM operator_act o WHERE o.payment_id = $2::text
UNION ALL SELECT 'act', to_json(o)::text FROM erased e
    JOIN operator_act o ON o.target = e.merchant_id AND o.act = 'merchant.erase' AND o.idempotency_key = e.erased_by
UNION ALL SELECT 'act', to_json(o)::text FROM targets n
    JOIN operator_act o ON o.target = n.target AND (o.payment_id IS NULL OR o.payment_id <> $2::text);

-- count_replays: add to the counts of these keys
INSERT INTO instruction_replay (merchant_id, idempotency_key, kind, n, first_at, last_at)
SELECT r.merchant_id, r.idempotency_key, r.kind, r.n, r.first_at, r.last_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[])
     AS r (merchant_id, idempotency_key, kind, n, first_at, last_at)
ON CONFLICT (merchant_id, idempotency_key, kind) DO UPDATE
SET n = instruction_replay.n + excluded.n, last_at = greatest(instruction_replay.last_at, excluded.last_at);
