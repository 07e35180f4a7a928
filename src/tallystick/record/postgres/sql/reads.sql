-- payment: one payment, and whether any of its attempts is in doubt; closing its charge decides nothing of it. One that
-- was parked although nothing of it is known may have been executed by a call that a restored record lacks
-- ($3: shift in ms)
SELECT p.*, EXISTS (
    SELECT 1 FROM attempt a
    WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id AND a.purpose <> 'close'
      AND (a.state = 'unknown'
           OR (a.state IN ('not_sent', 'not_found') AND a.parked_at IS NOT NULL)
           OR (a.state = 'submitted' AND a.deadline < now() + $3::bigint * interval '1 millisecond'))) AS in_doubt
FROM payment p
WHERE p.merchant_id = $1 AND p.payment_id = $2;

-- payment_at: one payment, and the account of its provider that has the charge
SELECT p.*, (
    SELECT min(a.account) FROM attempt a
    WHERE a.merchant_id = p.merchant_id AND a.payment_id = p.payment_id AND a.operation = 'authorize') AS account
FROM payment p
WHERE p.merchant_id = $1 AND p.payment_id = $2;

-- late_money: payments with late money that waits to be decided on, oldest first, after the payment $3; the merchant
-- may be null
SELECT * FROM payment
WHERE amount_late > 0
  AND amount_late > coalesce(amount_late_accepted, 0) + coalesce(amount_late_returning, 0) + coalesce(amount_late_returned, 0)
  AND ($1::text IS NULL OR merchant_id = $1) AND payment_id > $3::text
ORDER BY payment_id
LIMIT $2;

-- merchant_of_late_money: whose a payment with late money is
SELECT merchant_id FROM payment WHERE payment_id = $1 AND amount_late > 0;

-- disputes_of_unknown_amount: disputes with a movement whose amount nobody said, the oldest first; the merchant may be
-- null
SELECT d.* FROM dispute d
WHERE jsonb_path_exists(d.movements::jsonb, '$[*] ? (@.amount == null)') AND ($1::text IS NULL OR d.merchant_id = $1)
ORDER BY d.created_at, d.dispute_id
LIMIT $2;

-- stream_of_dispute: whose a dispute is
SELECT merchant_id, payment_id FROM dispute WHERE dispute_id = $1;

-- attempts: all attempts of a payment ($3: shift in ms)
SELECT a.*, a.deadline > now() + $3::bigint * interval '1 millisecond' AS sending,
       a.settled_after <= now() + $3::bigint * interval '1 millisecond' AS settled,
       (extract(epoch FROM now() - a.opened_at) * 1000)::bigint + $3::bigint AS age_ms
FROM attempt a
WHERE a.merchant_id = $1 AND a.payment_id = $2
ORDER BY a.attempt_id;

-- sent_between: when an attempt was opened, and when its last sender had to give up
SELECT opened_at, deadline FROM attempt WHERE merchant_id = $1 AND payment_id = $2 AND attempt_id = $3;

-- known_attempts: which of these attempts are in the record
SELECT a.attempt_id FROM unnest($1::text[], $2::text[], $3::text[]) AS k (merchant_id, payment_id, attempt_id)
JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.attempt_id = k.attempt_id;

-- known_payments: which of these payments are in the record
SELECT p.payment_id FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN payment p ON p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id;

-- refunds: all refunds of a payment
SELECT * FROM refund WHERE merchant_id = $1 AND payment_id = $2 ORDER BY refund_id;

-- disputes: all disputes of a payment
SELECT * FROM dispute WHERE merchant_id = $1 AND payment_id = $2 ORDER BY dispute_id;

-- dispute: one dispute
SELECT * FROM dispute WHERE merchant_id = $1 AND dispute_id = $2;

-- payments_of_many: several payments
SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN payment t ON t.merchant_id = k.merchant_id AND t.payment_id = k.payment_id
ORDER BY t.merchant_id, t.payment_id;

-- attempts_of_many: all attempts of several payments
SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN attempt t ON t.merchant_id = k.merchant_id AND t.payment_id = k.payment_id
ORDER BY t.attempt_id;

-- refunds_of_many: all refunds of several payments
SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN refund t ON t.merchant_id = k.merchant_id AND t.payment_id = k.payment_id
ORDER BY t.refund_id;

-- disputes_of_many: all disputes of several payments
SELECT t.* FROM unnest($1::text[], $2::text[]) AS k (merchant_id, payment_id)
JOIN dispute t ON t.merchant_id = k.merchant_id AND t.payment_id = k.payment_id
ORDER BY t.dispute_id;

-- refund: one refund, and whether its attempt is in doubt ($3: shift in ms)
SELECT r.*, EXISTS (
    SELECT 1 FROM attempt a
    WHERE a.merchant_id = r.merchant_id AND a.payment_id = r.payment_id AND a.refund_id = r.refund_id
      AND (a.state = 'unknown'
           OR (a.state IN ('not_sent', 'not_found') AND a.parked_at IS NOT NULL)
           OR (a.state = 'submitted' AND a.deadline < now() + $3::bigint * interval '1 millisecond'))) AS in_doubt
FROM refund r
WHERE r.merchant_id = $1 AND r.refund_id = $2;

-- payments: a page of a merchant's payments, newest first. Payment ids begin with the millisecond of their creation and
-- are minted in order, so the primary key is the order of creation. The bounds are never null: an index is read from one
-- to the other ($2: from this id, $3: below this one)
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3
ORDER BY payment_id DESC
LIMIT $4;

-- payments_captured: the page of those that are captured
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3 AND state = 'captured'
ORDER BY payment_id DESC
LIMIT $4;

-- payments_in_rare_state: the page of those in another state, which have an index without the captured ones: it is found
-- because the statement names that too
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3 AND state = $5 AND state <> 'captured'
ORDER BY payment_id DESC
LIMIT $4;

-- payments_by_reference: the page of those that a provider knows by one reference; the state may be null
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3 AND provider_reference = $5
  AND ($6::text IS NULL OR state = $6)
ORDER BY payment_id DESC
LIMIT $4;

-- payments_by_key: the page of the one that an idempotency key made or changed; state and reference may be null
SELECT p.* FROM payment p
WHERE p.merchant_id = $1 AND p.payment_id >= $2 AND p.payment_id < $3
  AND p.payment_id = (SELECT i.payment_id FROM instruction i WHERE i.merchant_id = $1 AND i.idempotency_key = $5)
  AND ($6::text IS NULL OR p.state = $6) AND ($7::text IS NULL OR p.provider_reference = $7)
LIMIT $4;

-- payments_of_amount: the page of those from $5 to $6, in a currency; state may be null. There is no index: the range may
-- be read whole
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3 AND amount >= $5 AND amount <= $6
  AND currency = $7 AND ($8::text IS NULL OR state = $8)
ORDER BY payment_id DESC
LIMIT $4;

-- payments_of_metadata: the page of those with this value ($6) of a key ($5), from $7 to $8 in one currency; currency and
-- state may be null. The range may be read whole, for want of an index
SELECT * FROM payment
WHERE merchant_id = $1 AND payment_id >= $2 AND payment_id < $3 AND metadata ->> $5 = $6
  AND amount >= $7 AND amount <= $8 AND ($9::text IS NULL OR currency = $9) AND ($10::text IS NULL OR state = $10)
ORDER BY payment_id DESC
LIMIT $4;

-- payments_in_doubt: which of these payments of a merchant have an attempt in doubt, as in payment. As a subquery of the
-- page it would be planned as a table of all attempts there are ($3: shift in ms)
SELECT DISTINCT a.payment_id FROM attempt a
WHERE a.merchant_id = $1 AND a.payment_id = ANY ($2::text[]) AND a.purpose <> 'close'
  AND (a.state = 'unknown'
       OR (a.state IN ('not_sent', 'not_found') AND a.parked_at IS NOT NULL)
       OR (a.state = 'submitted' AND a.deadline < now() + $3::bigint * interval '1 millisecond'));

-- instruction: one instruction by its key, with the recorded answer if there is one, and what fills both
SELECT i.merchant_id, i.idempotency_key, i.instruction_id, i.operation, i.path, i.fingerprint,
       i.fingerprint_version, i.request, i.payment_id, i.subject_id, i.status, i.body, i.api_version,
       p.description, p.metadata, p.erased_by
FROM answered_instruction i
LEFT JOIN payment p ON p.merchant_id = i.merchant_id AND p.payment_id = i.payment_id
WHERE i.merchant_id = $1 AND i.idempotency_key = $2;

-- sending: how long the newest attempt of an instruction may still be in transit ($4: shift in ms)
SELECT (extract(epoch FROM a.deadline - now()) * 1000)::bigint - $4::bigint AS left_ms
FROM attempt a
WHERE a.merchant_id = $1 AND a.payment_id = $2 AND a.idempotency_key = $3 AND a.state = 'submitted'
  AND a.deadline > now() + $4::bigint * interval '1 millisecond'
ORDER BY a.attempt_id DESC
LIMIT 1;

-- history: every transition of one subject. Steps of before kinds were kept, whose actor is a key, are a service's
SELECT merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state, event, cause, actor,
       provider_reference, at, occurred_at, change, evidence,
       coalesce(key_kind, CASE WHEN actor LIKE 'key:%' THEN 'service' END) AS key_kind
FROM history
WHERE merchant_id = $1 AND subject_id = $2
ORDER BY version;

-- rejections: every refused transition of a payment, its attempts and refunds; those of before as in history
SELECT at, subject, subject_id, state, version, event, cause, actor, origin, reason, alert, idempotency_key,
       coalesce(key_kind, CASE WHEN actor LIKE 'key:%' THEN 'service' END) AS key_kind
FROM rejection
WHERE merchant_id = $1 AND stream_id = $2
ORDER BY rejection_id;

-- accounts: every account of a merchant's ledger
SELECT account, currency, debits, credits FROM balance WHERE merchant_id = $1 ORDER BY account, currency;

-- transfers: the ledger rows of a payment and its refunds
SELECT * FROM transfer WHERE merchant_id = $1 AND stream_id = $2 ORDER BY at, subject_id, version, leg;

-- hasten: let recovery look up a payment in doubt now, at most once in $3 ms ($4: shift in ms)
UPDATE attempt SET next_check_at = now() + $4::bigint * interval '1 millisecond'
WHERE merchant_id = $1 AND payment_id = $2 AND state = 'unknown' AND parked_at IS NULL
  AND next_check_at > now() + $4::bigint * interval '1 millisecond'
  AND coalesce(checked_at, opened_at) < now() + ($4::bigint - $3::bigint) * interval '1 millisecond';

-- merchant: a merchant's configuration
SELECT merchant_id, default_provider, allowed_providers FROM merchant WHERE merchant_id = $1;

-- api_key: one API key, revoked or not
SELECT merchant_id, key_id, secret_hash, revoked_at, operator, api_version, kind, scopes, limit_currencies, limit_amounts
FROM api_key WHERE merchant_id = $1 AND key_id = $2;

-- event_age: since the first arrival of an event of a provider, in ms ($2: shift in ms)
SELECT (extract(epoch FROM now() - min(d.recorded_at)) * 1000)::bigint + $2::bigint
FROM inbox e
JOIN delivery d ON d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
WHERE e.event_id = $1;
