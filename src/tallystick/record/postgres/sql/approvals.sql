-- approved_between: requests of the acts $1 that were approved after $2 and until $3, the oldest first, and who asked
SELECT r.request_id, r.requested_by
FROM approval_outcome o
JOIN approval_request r ON r.request_id = o.request_id
WHERE o.outcome = 'approved' AND o.at > $2 AND o.at <= $3 AND r.act = ANY ($1::text[])
ORDER BY o.at, o.request_id;

-- done_under: which of these keys ($2) their operators ($1) used for an act that was done
SELECT a.operator, a.idempotency_key
FROM operator_act a
JOIN (SELECT unnest($1::text[]) AS operator, unnest($2::text[]) AS idempotency_key) k
  ON k.operator = a.operator AND k.idempotency_key = a.idempotency_key;

-- insert_request: what somebody asks a second person for
INSERT INTO approval_request (request_id, act, target, merchant_id, arguments, shown, shown_hash, authors, needed,
                              reason, requested_by, requested_at, expires_at)
VALUES ($1, $2, $3, $4, $5::text::json, $6::text::json, $7, $8, $9, $10, $11, $12, $13);

-- request: one request
SELECT request_id, act, target, merchant_id, arguments, shown, shown_hash, authors, needed, reason, requested_by,
       requested_at, expires_at
FROM approval_request WHERE request_id = $1;

-- requests: a page of requests before the one of the id $1, the newest first; $3: of these merchants alone, null is all
SELECT request_id, act, target, merchant_id, arguments, shown, shown_hash, authors, needed, reason, requested_by,
       requested_at, expires_at
FROM approval_request
WHERE ($1::text IS NULL
    OR (requested_at, request_id) < (SELECT at.requested_at, at.request_id FROM approval_request AS at
                                     WHERE at.request_id = $1))
  AND ($3::text[] IS NULL OR merchant_id = ANY ($3::text[]))
ORDER BY requested_at DESC, request_id DESC LIMIT $2;

-- erasure_requests: a page of requests for erasures before the time $1 and the id $2, the newest first; $4: of these
-- merchants alone, null is all. Requests of before erasures had a merchant show whose they are
SELECT request_id, act, target, merchant_id, arguments, shown, shown_hash, authors, needed, reason, requested_by,
       requested_at, expires_at
FROM approval_request
WHERE act IN ('payment.erase', 'merchant.erase')
  AND ($1::timestamptz IS NULL OR (requested_at, request_id) < ($1::timestamptz, $2::text))
  AND ($4::text[] IS NULL OR shown ->> 'merchant' = ANY ($4::text[]))
ORDER BY requested_at DESC, request_id DESC LIMIT $3;

-- outcomes_of: how these requests ended; none of those that wait
SELECT request_id, outcome, detail, at FROM approval_outcome WHERE request_id = ANY ($1::text[]);

-- decisions_of: what was said of these requests, in the order of time
SELECT request_id, decided_by, approves, shown_hash, reason, at FROM approval_decision
WHERE request_id = ANY ($1::text[]) ORDER BY at, decided_by;

-- outcome: how a request ended; none while it waits
SELECT outcome, detail, at FROM approval_outcome WHERE request_id = $1;

-- decisions: what was said of a request, in the order of time
SELECT decided_by, approves, shown_hash, reason, at FROM approval_decision WHERE request_id = $1 ORDER BY at, decided_by;

-- insert_decision: one word a person; a second one of theirs is an error
INSERT INTO approval_decision (request_id, decided_by, approves, shown_hash, reason, at)
VALUES ($1, $2, $3, $4, $5, $6);

-- insert_outcome: the end, once; a second one is an error
INSERT INTO approval_outcome (request_id, outcome, detail, at) VALUES ($1, $2, $3, $4);
