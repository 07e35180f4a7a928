-- due: attempts that are due and have no lease, of the accounts $3 ($2: shift in ms)
SELECT merchant_id, payment_id, attempt_id, version
FROM attempt
WHERE next_check_at <= now() + $2::bigint * interval '1 millisecond'
  AND ($3::text[] IS NULL OR provider || '/' || account = ANY ($3::text[]))
  AND (lease_until IS NULL OR lease_until < now() + $2::bigint * interval '1 millisecond')
ORDER BY next_check_at
LIMIT $1;

-- lease: lease the attempts that are still as they were read, for $5 ms ($6: shift in ms)
UPDATE attempt a SET lease_until = now() + ($5::bigint + $6::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[], $4::int[])
     AS k (merchant_id, payment_id, attempt_id, version)
WHERE a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.attempt_id = k.attempt_id
  AND a.version = k.version
  AND (a.lease_until IS NULL OR a.lease_until < now() + $6::bigint * interval '1 millisecond')
RETURNING a.merchant_id, a.payment_id, a.attempt_id, a.checks;

-- look_again: nothing new: look again in $5 ms, and end the lease ($6: shift in ms)
UPDATE attempt SET next_check_at = now() + ($5::bigint + $6::bigint) * interval '1 millisecond',
       checks = checks + 1, checked_at = now() + $6::bigint * interval '1 millisecond', lease_until = NULL
WHERE merchant_id = $1 AND payment_id = $2 AND attempt_id = $3 AND version = $4 AND next_check_at IS NOT NULL;

-- wait: it may not be looked at now: look again in $5 ms, and end the lease; no check is spent ($6: shift in ms)
UPDATE attempt SET next_check_at = now() + ($5::bigint + $6::bigint) * interval '1 millisecond', lease_until = NULL
WHERE merchant_id = $1 AND payment_id = $2 AND attempt_id = $3 AND version = $4 AND next_check_at IS NOT NULL;

-- due_deadlines: authorizations with a due deadline and without a lease, of the accounts $3; those of payments that have
-- moved on need no account ($2: shift in ms)
SELECT d.merchant_id, d.payment_id
FROM deadline d
LEFT JOIN payment p ON p.merchant_id = d.merchant_id AND p.payment_id = d.payment_id
LEFT JOIN attempt a ON a.merchant_id = d.merchant_id AND a.payment_id = d.payment_id AND a.operation = 'authorize'
WHERE d.due_at <= now() + $2::bigint * interval '1 millisecond'
  AND (d.lease_until IS NULL OR d.lease_until < now() + $2::bigint * interval '1 millisecond')
  AND ($3::text[] IS NULL OR p.state IS DISTINCT FROM 'authorized' OR a.provider || '/' || a.account = ANY ($3::text[]))
ORDER BY d.due_at
LIMIT $1;

-- waiting: attempts and deadlines that are due for $2 ms, of accounts other than $1, by account ($3: shift in ms)
SELECT w.provider, w.account, count(*) AS waiting
FROM (
    SELECT provider, account FROM attempt
    WHERE next_check_at <= now() + ($3::bigint - $2::bigint) * interval '1 millisecond'
    UNION ALL
    SELECT a.provider, a.account FROM deadline d
    JOIN payment p ON p.merchant_id = d.merchant_id AND p.payment_id = d.payment_id AND p.state = 'authorized'
    JOIN attempt a ON a.merchant_id = d.merchant_id AND a.payment_id = d.payment_id AND a.operation = 'authorize'
    WHERE d.due_at <= now() + ($3::bigint - $2::bigint) * interval '1 millisecond') AS w
WHERE w.provider || '/' || w.account <> ALL ($1::text[])
GROUP BY w.provider, w.account
ORDER BY w.provider, w.account;

-- lease_deadlines: lease those that are still due, for $3 ms ($4: shift in ms)
UPDATE deadline d SET lease_until = now() + ($3::bigint + $4::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
WHERE d.merchant_id = k.merchant_id AND d.payment_id = k.payment_id
  AND d.due_at <= now() + $4::bigint * interval '1 millisecond'
  AND (d.lease_until IS NULL OR d.lease_until < now() + $4::bigint * interval '1 millisecond')
RETURNING d.merchant_id, d.payment_id, d.checks;

-- move_deadline: look again in $3 ms ($4: shift in ms)
UPDATE deadline SET due_at = now() + ($3::bigint + $4::bigint) * interval '1 millisecond',
       checks = checks + 1, lease_until = NULL
WHERE merchant_id = $1 AND payment_id = $2;

-- drop_deadline: the payment has moved on; a deadline that was set again meanwhile stays ($3: shift in ms)
DELETE FROM deadline
WHERE merchant_id = $1 AND payment_id = $2 AND due_at <= now() + $3::bigint * interval '1 millisecond';

-- parked: a page of the in-doubt list, oldest first, after ($4, $5); a null merchant means all ($3: shift in ms)
SELECT a.*, (extract(epoch FROM now() - a.parked_at) * 1000)::bigint + $3::bigint AS parked_for_ms
FROM attempt a
WHERE a.parked_at IS NOT NULL AND ($1::text IS NULL OR a.merchant_id = $1)
  AND a.parked_at >= $4::timestamptz AND (a.parked_at, a.attempt_id) > ($4::timestamptz, $5::text)
ORDER BY a.parked_at, a.attempt_id
LIMIT $2;

-- attempt_by_id: one attempt by its id alone, for the operator
SELECT a.* FROM attempt a WHERE a.attempt_id = $1;
