-- personal_of: the personal fields of these payments, with their keys
SELECT p.merchant_id, p.payment_id, p.description, p.metadata, p.personal_key, p.erased_by
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN payment p ON p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id;

-- begin_erasure: what is to be erased, in the transaction that ends its request
INSERT INTO erasure (merchant_id, request_id, payment_id, until, after, payments, events, finished_at)
VALUES ($1, $2, $3, $4, '', 0, 0, NULL);

-- unfinished: the erasures that are not at their end, the one that was approved first before the others
SELECT merchant_id, request_id, payment_id, until, after, payments, events, finished_at
FROM erasure WHERE finished_at IS NULL ORDER BY until, request_id LIMIT $1;

-- erasures: the newest erasures ($1 at most), the one that was approved last first
SELECT merchant_id, request_id, payment_id, until, after, payments, events, finished_at
FROM erasure ORDER BY until DESC, request_id DESC LIMIT $1;

-- erasures_of: the erasures of these requests
SELECT merchant_id, request_id, payment_id, until, after, payments, events, finished_at
FROM erasure WHERE request_id = ANY ($1::text[]);

-- to_erase: the next payments of a merchant that were there when it was asked for
SELECT payment_id FROM payment
WHERE merchant_id = $1 AND payment_id > $2 AND created_at <= $3
ORDER BY payment_id LIMIT $4;

-- not_moved: payments among these with a row that still has a personal value in clear: it was written by a release that
-- knew no keys. $3 and $4: what such a body has, and a hole has not
SELECT p.payment_id FROM payment p
WHERE p.merchant_id = $1 AND p.payment_id = ANY ($2::text[])
  AND ((p.personal_key IS NULL AND p.erased_by IS NULL AND (p.description <> '' OR p.metadata::text <> '{}'))
    OR EXISTS (SELECT 1 FROM outbox o
               WHERE o.merchant_id = p.merchant_id AND o.stream_id = p.payment_id
                 AND encode(o.body, 'escape') ~ $3::text)
    OR EXISTS (SELECT 1 FROM attempt a
               JOIN answered_instruction i ON i.merchant_id = a.merchant_id AND i.idempotency_key = a.idempotency_key
               WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id
                 AND (encode(i.request, 'escape') ~ $3::text OR encode(i.body, 'escape') ~ $3::text)));

-- erase: the personal fields of these payments, and their keys; those that are erased already are not there
UPDATE payment
SET description = CASE WHEN description <> '' THEN '[erased]' ELSE description END,
    metadata = CASE WHEN metadata::text <> '{}' THEN '{"[erased]":"[erased]"}'::json ELSE metadata END,
    personal_key = NULL, erased_by = $3
WHERE merchant_id = $1 AND payment_id = ANY ($2::text[]) AND erased_by IS NULL
RETURNING payment_id;

-- kept_arrivals: the arrivals of these payments' events whose bytes can be opened, with the request that erases them
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.sealed, e.raw_key, k.erased_by
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, payment_id, erased_by)
JOIN inbox e ON e.merchant_id = k.merchant_id AND e.payment_id = k.payment_id AND e.payment_id IS NOT NULL
JOIN delivery d ON d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
WHERE e.erased_by IS NULL;

-- kept_unrouted: the same of a merchant's events that were routed to no payment, from before $2
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.sealed, e.raw_key, $3::text AS erased_by
FROM inbox e
JOIN delivery d ON d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
WHERE e.merchant_id = $1 AND e.received_at <= $2 AND e.payment_id IS NULL AND e.erased_by IS NULL;

-- erase_events: the keys of their bytes
UPDATE inbox e SET raw_key = NULL, erased_by = k.erased_by
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (provider, account, provider_event_id, erased_by)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.erased_by IS NULL;

-- erase_answers: the keys of what providers answered about these payments
UPDATE provider_answer_key a SET raw_key = NULL, erased_by = k.erased_by
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, payment_id, erased_by)
WHERE a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.erased_by IS NULL;

-- go_on: how far an erasure is, unless another process brought it further
UPDATE erasure SET after = $4, payments = payments + $5, events = events + $6, finished_at = $7
WHERE merchant_id = $1 AND request_id = $2 AND after = $3 AND finished_at IS NULL
RETURNING request_id;

-- erased_payments: the next payments that are erased, for what came to them since
SELECT merchant_id, payment_id, erased_by FROM payment
WHERE erased_by IS NOT NULL AND (merchant_id, payment_id) > ($1::text, $2::text)
ORDER BY merchant_id, payment_id LIMIT $3;
