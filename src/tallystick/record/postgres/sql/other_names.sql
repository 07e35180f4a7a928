-- What has a name and is no payment, for whoever looks for it: what it is, its id, whose it is (null: nobody's, or the
-- platform's), the payment that it is about, and a few words.

-- named: one look by key at each table ($1: the name)
SELECT 'merchant' AS kind, m.merchant_id AS item_id, m.merchant_id, NULL::text AS payment_id, ''::text AS says
FROM merchant m WHERE m.merchant_id = $1::text
UNION ALL SELECT 'API key', k.key_id, k.merchant_id, NULL, coalesce(k.kind, 'service') FROM merchant m
    JOIN api_key k ON k.merchant_id = m.merchant_id AND k.key_id = $1::text
UNION ALL SELECT 'endpoint', w.endpoint_id, w.merchant_id, NULL, w.state FROM merchant m
    JOIN webhook_endpoint w ON w.merchant_id = m.merchant_id AND w.endpoint_id = $1::text
UNION ALL SELECT 'case', c.case_id, c.merchant_id, NULL, c.state FROM merchant m
    JOIN rejected_case c ON c.merchant_id = m.merchant_id AND c.case_id = $1::text
UNION ALL SELECT 'event', e.event_id, e.merchant_id, e.payment_id, e.state FROM inbox e WHERE e.event_id = $1::text
UNION ALL SELECT 'alert', a.alert_id, NULL, NULL, a.name FROM alert a
    WHERE a.merchant_id = 'operators' AND a.alert_id = $1::text
UNION ALL SELECT 'operator', o.operator_id, NULL, NULL, '' FROM operator_version o
    WHERE o.operator_id = $1::text AND o.version = 1
UNION ALL SELECT 'act', a.act_id, NULL, a.payment_id, a.act || ' of ' || a.target FROM operator_act a
    WHERE a.act_id = $1::text
UNION ALL SELECT 'approval', r.request_id, r.merchant_id, NULL, r.act || ' of ' || r.target FROM approval_request r
    WHERE r.request_id = $1::text
UNION ALL SELECT 'settlement file', f.file_id, NULL, NULL, f.name FROM settlement_file f WHERE f.file_id = $1::text;

-- named_at: what providers named so, at one of these accounts ($1: the name, $2: providers, $3: their accounts)
SELECT 'event' AS kind, e.event_id AS item_id, e.merchant_id, e.payment_id, e.state AS says
FROM (SELECT unnest($2::text[]) AS provider, unnest($3::text[]) AS account) AS k
JOIN inbox e ON e.provider = k.provider AND e.account = k.account AND e.provider_event_id = $1::text
UNION ALL SELECT 'batch', b.file_id, NULL, NULL, b.currency || ' of ' || b.provider || '/' || b.account
FROM (SELECT unnest($2::text[]) AS provider, unnest($3::text[]) AS account) AS k
JOIN settlement_batch b ON b.provider = k.provider AND b.account = k.account AND b.batch = $1::text;

-- arrived: the event that a delivery brought. Its id has its time: it was recorded between $2 and $3
SELECT 'delivery' AS kind, e.event_id AS item_id, e.merchant_id, e.payment_id, d.result AS says
FROM delivery d
JOIN inbox e ON e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id
WHERE d.recorded_at >= $2::timestamptz AND d.recorded_at < $3::timestamptz AND d.delivery_id = $1::text
LIMIT 1;
