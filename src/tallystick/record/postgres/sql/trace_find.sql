-- find: the payments that a name is of, in the tables of merchants: of a subject, a message or an idempotency key, the
-- trace of a request, or a reference of a provider. Every merchant is looked up by key, or the one that is given ($1: it, or null; $2: the name,
-- $3: the ids that disputes and refunds get from references)
WITH merchants AS MATERIALIZED (
    SELECT merchant_id FROM merchant WHERE $1::text IS NULL
    UNION ALL SELECT $1::text WHERE $1::text IS NOT NULL
)
SELECT CASE WHEN $2::text = p.payment_id THEN 'payment' ELSE 'subject' END AS named, p.merchant_id, p.payment_id
FROM (SELECT DISTINCT m.merchant_id, coalesce(t.stream_id, t.subject_id) AS payment_id FROM merchants m
      JOIN transition t ON t.merchant_id = m.merchant_id AND t.subject_id = $2::text) p
WHERE p.payment_id LIKE 'pay%'  -- a case or an endpoint is a stream of its own
UNION ALL SELECT 'case', c.merchant_id, c.from_stream_id FROM merchants m
    JOIN rejected_case c ON c.merchant_id = m.merchant_id AND c.case_id = $2::text
    WHERE c.from_stream_id LIKE 'pay%'
UNION ALL SELECT 'payment', p.merchant_id, p.payment_id FROM merchants m
    JOIN payment p ON p.merchant_id = m.merchant_id AND p.payment_id = $2::text
UNION ALL SELECT 'idempotency key', i.merchant_id, i.payment_id FROM merchants m
    JOIN instruction i ON i.merchant_id = m.merchant_id AND i.idempotency_key = $2::text
UNION ALL SELECT 'trace', i.merchant_id, i.payment_id FROM merchants m
    JOIN instruction i ON i.merchant_id = m.merchant_id AND substr(i.traceparent, 4, 32) = $2::text
        AND i.traceparent IS NOT NULL
UNION ALL SELECT 'provider reference', p.merchant_id, p.payment_id FROM merchants m
    JOIN payment p ON p.merchant_id = m.merchant_id AND p.provider_reference = $2::text
UNION ALL SELECT 'provider reference', a.merchant_id, a.payment_id FROM merchants m
    JOIN attempt a ON a.merchant_id = m.merchant_id AND a.provider_reference = $2::text AND a.operation <> 'authorize'
UNION ALL SELECT 'provider reference', r.merchant_id, r.payment_id FROM merchants m
    CROSS JOIN (SELECT unnest($3::text[]) AS id) k
    JOIN refund r ON r.merchant_id = m.merchant_id AND r.refund_id = k.id
UNION ALL SELECT 'provider reference', d.merchant_id, d.payment_id FROM merchants m
    CROSS JOIN (SELECT unnest($3::text[]) AS id) k
    JOIN dispute d ON d.merchant_id = m.merchant_id AND d.dispute_id = k.id
UNION ALL SELECT 'message', d.merchant_id, d.payment_id FROM merchants m
    JOIN webhook_endpoint w ON w.merchant_id = m.merchant_id
    JOIN message_delivery d ON d.merchant_id = w.merchant_id AND d.endpoint_id = w.endpoint_id
        AND d.message_id = $2::text
UNION ALL SELECT 'message', o.merchant_id, o.stream_id FROM outbox o
    WHERE o.dispatched_at IS NULL AND o.message_id = $2::text AND ($1::text IS NULL OR o.merchant_id = $1::text)
      AND $2::text LIKE 'msg%';

-- find_event: the payment that an event of a provider was routed to, by our id of it, or by the provider's at one of
-- these accounts ($2: providers, $3: their accounts)
SELECT 'event' AS named, e.merchant_id, e.payment_id FROM inbox e
WHERE e.event_id = $1::text AND e.payment_id IS NOT NULL
UNION ALL
SELECT 'event', e.merchant_id, e.payment_id
FROM (SELECT unnest($2::text[]) AS provider, unnest($3::text[]) AS account) AS k
JOIN inbox e ON e.provider = k.provider AND e.account = k.account AND e.provider_event_id = $1::text
WHERE e.payment_id IS NOT NULL;

-- find_charge: the payment whose charge a reference names at one of these accounts ($2: providers, $3: their accounts)
SELECT 'provider reference' AS named, r.merchant_id, r.payment_id
FROM (SELECT unnest($2::text[]) AS provider, unnest($3::text[]) AS account) AS k
JOIN provider_reference r ON r.provider = k.provider AND r.account = k.account AND r.reference = $1::text;

-- find_act: what an operator's act is about: a payment, or something else that has a name ($1: the act's id)
SELECT coalesce(payment_id, target) AS target FROM operator_act WHERE act_id = $1::text;

-- merchant_of: whose a payment is ($1: the payment)
SELECT m.merchant_id FROM merchant m JOIN payment p ON p.merchant_id = m.merchant_id AND p.payment_id = $1::text;
