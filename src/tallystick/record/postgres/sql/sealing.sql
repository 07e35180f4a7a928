-- acts: what became of each sealing key, in order
SELECT number, act, key_id, fingerprint, actor, reason, at FROM sealing_key_act ORDER BY number;

-- record_act: the next act, unless another process took its number ($7: shift in ms)
INSERT INTO sealing_key_act (number, act, key_id, fingerprint, actor, reason, at)
VALUES ($1, $2, $3, $4, $5, $6, now() + $7::bigint * interval '1 millisecond')
ON CONFLICT (number) DO NOTHING
RETURNING number;

-- sealed_secrets: up to $1 endpoint secrets
SELECT merchant_id, endpoint_id, secret_id, sealed FROM webhook_secret LIMIT $1;

-- first_deliveries: up to $1 arrivals of provider events
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.sealed, e.raw_key
FROM (SELECT * FROM delivery ORDER BY provider, account, provider_event_id, delivery_id LIMIT $1) d
LEFT JOIN inbox e ON e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id;

-- last_deliveries: the same from the other end, where newer keys may have sealed
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.sealed, e.raw_key
FROM (SELECT * FROM delivery
      ORDER BY provider DESC, account DESC, provider_event_id DESC, delivery_id DESC LIMIT $1) d
LEFT JOIN inbox e ON e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id;

-- sealed_actions: up to $1 payments with a sealed next action
SELECT merchant_id, payment_id, next_action ->> 'sealed' AS sealed FROM payment
WHERE next_action ->> 'sealed' IS NOT NULL LIMIT $1;

-- endpoint_secrets: how many secrets of endpoints a key ($1: its id) sealed
SELECT count(*) FROM webhook_secret WHERE substr(sealed, 2, 4) = $1;

-- kept_events: how many arrivals of provider events a key sealed
SELECT count(*) FROM delivery WHERE substr(sealed, 2, 4) = $1;

-- kept_answers: how many answers of providers a key sealed
SELECT count(*) FROM provider_answer WHERE substr(sealed, 2, 4) = $1;

-- next_actions: how many payers' next actions a key sealed
SELECT count(*) FROM payment
WHERE CASE WHEN next_action ->> 'sealed' ~ '^[A-Za-z0-9+/]{8}'
           THEN substr(decode(left(next_action ->> 'sealed', 8), 'base64'), 2, 4) = $1
           ELSE false END;

-- provider_names: how many attempts have a name of the provider's that a key sealed. It begins after the last colon
SELECT count(*) FROM attempt
WHERE provider_reference LIKE 'sealed:%'
  AND CASE WHEN provider_reference ~ ':[A-Za-z0-9_-]{8}[A-Za-z0-9_-]*$'
           THEN substr(decode(translate(left(regexp_replace(provider_reference, '^.*:', ''), 8), '-_', '+/'), 'base64'),
                       2, 4) = $1
           ELSE false END;
