-- Late money of before 0007_streams gets its amount: the edge late_effect posted it to suspense, and no field had it. The
-- ledger has each amount. It becomes a step of history like any other change of a field, so history still replays to the
-- row. Nothing is posted and nobody is told. Refunds that were paid late get theirs in the same way. What is counted here
-- can then be accepted, returned, refunded and disputed like late money of today.
-- depends: 0012_inquiries_and_late_money 0010_providers_and_exponents 0009_key_taken

-- The charge that the money belongs to: of an attempt that no answer ever named, its name is in the evidence alone.
WITH charge AS (
    SELECT DISTINCT ON (a.merchant_id, a.payment_id) a.merchant_id, a.payment_id, a.provider, a.account,
           coalesce(a.provider_reference, t.evidence -> 'verdict' ->> 'reference') AS reference
    FROM attempt a
    JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id AND t.event = 'late_effect'
    WHERE a.late_effect AND a.operation = 'authorize'
    ORDER BY a.merchant_id, a.payment_id, t.at
), named AS (
    INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)
    SELECT provider, account, reference, merchant_id, payment_id FROM charge WHERE reference IS NOT NULL
    ON CONFLICT DO NOTHING
), late AS (
    SELECT p.merchant_id, p.payment_id, p.version + 1 AS version, p.state, p.amount_late + sum(t.amount) AS amount_late,
           CASE WHEN p.provider_reference IS NULL THEN max(c.reference) END AS reference, now() AS at
    FROM transfer t
    JOIN payment p ON p.merchant_id = t.merchant_id AND p.payment_id = t.subject_id
    LEFT JOIN charge c ON c.merchant_id = p.merchant_id AND c.payment_id = p.payment_id
    WHERE t.kind = 'late_effect'
    GROUP BY p.merchant_id, p.payment_id
), step AS (
    INSERT INTO transition (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state, event,
                            cause, actor, at, change)
    SELECT merchant_id, payment_id, version, 'chg_' || replace(gen_random_uuid()::text, '-', ''), 'payment', payment_id,
           state, state, 'late_money_counted', 'migration', 'migration:0013', at,
           json_strip_nulls(json_build_object('amount_late', amount_late, 'provider_reference', reference))
    FROM late
)
UPDATE payment p
SET version = late.version, amount_late = late.amount_late, updated_at = late.at,
    provider_reference = coalesce(p.provider_reference, late.reference)
FROM late
WHERE p.merchant_id = late.merchant_id AND p.payment_id = late.payment_id;

WITH late AS (
    SELECT r.merchant_id, r.refund_id, r.payment_id, r.version + 1 AS version, r.state,
           r.amount_late + sum(t.amount) AS amount_late, now() AS at
    FROM transfer t
    JOIN refund r ON r.merchant_id = t.merchant_id AND r.refund_id = t.subject_id
    WHERE t.kind = 'late_effect'
    GROUP BY r.merchant_id, r.refund_id
), step AS (
    INSERT INTO transition (merchant_id, subject_id, version, change_id, subject, stream_id, from_state, to_state, event,
                            cause, actor, at, change)
    SELECT merchant_id, refund_id, version, 'chg_' || replace(gen_random_uuid()::text, '-', ''), 'refund', payment_id,
           state, state, 'late_money_counted', 'migration', 'migration:0013', at,
           json_build_object('amount_late', amount_late)
    FROM late
)
UPDATE refund r
SET version = late.version, amount_late = late.amount_late, updated_at = late.at
FROM late
WHERE r.merchant_id = late.merchant_id AND r.refund_id = late.refund_id;

-- Movements of disputed money whose amount nobody said are listed, the oldest first.
CREATE INDEX dispute_with_unknown_amount ON dispute (created_at, dispute_id)
    WHERE jsonb_path_exists(movements::jsonb, '$[*] ? (@.amount == null)');
