-- merchants: every merchant, with the number of its keys that are not revoked, and whether they are operators' keys
SELECT m.merchant_id, m.default_provider, m.allowed_providers, m.created_at,
       count(k.key_id) FILTER (WHERE k.revoked_at IS NULL) AS keys, coalesce(bool_or(k.operator), false) AS operator
FROM merchant m
LEFT JOIN api_key k ON k.merchant_id = m.merchant_id
GROUP BY m.merchant_id, m.default_provider, m.allowed_providers, m.created_at
ORDER BY m.merchant_id;

-- owner_of_payment: which of the merchants $1 has the payment $2: a look into the index for each
SELECT merchant_id FROM payment WHERE merchant_id = ANY ($1::text[]) AND payment_id = $2;

-- owner_of_refund: the same of a refund
SELECT merchant_id FROM refund WHERE merchant_id = ANY ($1::text[]) AND refund_id = $2;

-- owner_of_dispute: the same of a dispute
SELECT merchant_id FROM dispute WHERE merchant_id = ANY ($1::text[]) AND dispute_id = $2;

-- owner_of_endpoint: the same of a webhook endpoint that was not deleted
SELECT merchant_id FROM webhook_endpoint
WHERE merchant_id = ANY ($1::text[]) AND endpoint_id = $2 AND state <> 'deleted';

-- latest_events: a page of all providers' events, newest first by their ids, which begin with the millisecond of their
-- arrival; from $1 on and below $2
SELECT event_id, provider, type, state, detail, received_at, tries, replays, payment_id, merchant_id
FROM inbox
WHERE event_id >= $1 AND event_id < $2
ORDER BY event_id DESC
LIMIT $3;

-- events_after: the same the other way, after $1
SELECT event_id, provider, type, state, detail, received_at, tries, replays, payment_id, merchant_id
FROM inbox
WHERE event_id > $1
ORDER BY event_id
LIMIT $2;

-- backlog: what waits, how much of it, and since when it was due, or waited for a person, that has waited longest; all by
-- indexes of what waits ($1: shift in ms)
SELECT w.what, w.waiting, (extract(epoch FROM now() - w.since) * 1000)::bigint + $1::bigint AS longest_ms
FROM (
    SELECT 'attempts_to_settle' AS what, count(*) AS waiting, min(next_check_at) AS since
    FROM attempt WHERE next_check_at IS NOT NULL
    UNION ALL
    SELECT 'overdue_deadlines', count(*), min(due_at) FROM deadline
    WHERE due_at <= now() + $1::bigint * interval '1 millisecond'
    UNION ALL
    SELECT 'attempts_in_doubt', count(*), min(parked_at) FROM attempt WHERE parked_at IS NOT NULL
    UNION ALL
    SELECT 'late_money', count(*), NULL FROM payment
    WHERE amount_late > 0 AND amount_late > coalesce(amount_late_accepted, 0) + coalesce(amount_late_returning, 0)
          + coalesce(amount_late_returned, 0)
    UNION ALL
    SELECT 'unknown_dispute_amounts', count(*), NULL FROM dispute
    WHERE jsonb_path_exists(movements::jsonb, '$[*] ? (@.amount == null)')
    UNION ALL
    SELECT 'events_to_process', count(*), min(next_try_at) FROM inbox WHERE next_try_at IS NOT NULL
    UNION ALL
    SELECT 'dead_letters', count(*), min(closed_at) FROM inbox WHERE state = 'dead'
    UNION ALL
    SELECT 'messages_to_dispatch', count(*), min(at) FROM outbox WHERE dispatched_at IS NULL
    UNION ALL
    SELECT 'queues_to_send', count(*), min(next_try_at) FROM message_lane) AS w;

-- endpoints: how many webhook endpoints there are of each kind: sent to, failing now, and disabled because they failed
SELECT count(*) FILTER (WHERE state = 'enabled') AS enabled,
       count(*) FILTER (WHERE state = 'enabled' AND failing_since IS NOT NULL) AS failing,
       count(*) FILTER (WHERE state = 'disabled' AND disabled_reason = ANY ($1::text[])) AS given_up
FROM webhook_endpoint;

-- silent_endpoints: those that fail now, or were disabled for one of the reasons $1; $2: the merchants that may be seen, null
-- is all; at most $3
SELECT merchant_id, endpoint_id, url, state, disabled_reason, failing_since
FROM webhook_endpoint
WHERE (state = 'enabled' AND failing_since IS NOT NULL OR state = 'disabled' AND disabled_reason = ANY ($1::text[]))
  AND ($2::text[] IS NULL OR merchant_id = ANY ($2))
ORDER BY merchant_id, endpoint_id
LIMIT $3;
