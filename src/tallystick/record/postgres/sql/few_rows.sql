-- left_rows: places of rows of the file $1 in these batches that have no evidence yet, the first $4
SELECT k.position
FROM (
    SELECT r.position
    FROM settlement_row r
    WHERE r.file_id = $1 AND EXISTS (
        SELECT 1 FROM (SELECT unnest($2::text[]) AS batch, unnest($3::text[]) AS currency) b
        WHERE b.batch = r.batch AND b.currency = r.currency
    )
    EXCEPT
    SELECT e.position FROM settlement_evidence e WHERE e.file_id = $1
) k
ORDER BY k.position
LIMIT $4;

-- rows_at: the rows of the file $1 at the places $2
SELECT r.position, r.line, r.batch, r.row_key, r.occurrence, r.kind, r.raw_type, r.currency, r.gross, r.fee, r.net,
       r.payer_amount, r.payer_currency, r.rate, r.reference, r.payment_reference, r.merchant_reference,
       r.payout_reference, r.method, r.country, r.occurred_at, r.booked_at, r.value_on, r.fee_parts
FROM settlement_row r
WHERE r.file_id = $1 AND r.position = ANY ($2::int[])
ORDER BY r.position;

-- candidates_at: what ``candidates`` has of the rows at the places $8, which are few: their postings, and the evidence
-- of these, are found by key
WITH asked AS MATERIALIZED (
    SELECT r.position, r.reference, r.merchant_reference, r.payment_reference,
           r.reference IS NOT NULL AND r.reference IS DISTINCT FROM r.payment_reference AND r.kind <> ALL ($7::text[]) AS is_named
    FROM settlement_row r
    WHERE r.file_id = $1 AND r.kind = ANY ($5::text[]) AND r.position = ANY ($8::int[])
), by_name AS MATERIALIZED (
    SELECT r.position, 'provider_reference' AS found_by, a.merchant_id, a.payment_id,
           coalesce(a.refund_id, a.payment_id) AS subject_id, a.state, a.attempt_id, a.idempotency_key, a.provider_reference,
           r.is_named AND a.operation = 'capture' AS asks_name, null::text AS movements
    FROM (SELECT k.position, k.reference, k.is_named FROM asked k WHERE k.reference IS NOT NULL) r
    JOIN attempt a ON a.provider_reference = r.reference
    WHERE a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, 'provider_reference', f.merchant_id, f.payment_id, f.refund_id, f.state, null, null,
           f.provider_reference, false, null
    FROM (SELECT k.position, k.reference FROM asked k WHERE k.reference IS NOT NULL) r
    JOIN refund f ON f.provider_reference = r.reference
    WHERE f.provider = $2
    UNION ALL
    SELECT r.position, 'provider_reference', d.merchant_id, d.payment_id, d.dispute_id, d.state, null, null,
           d.provider_reference, false, d.movements::text
    FROM (SELECT k.position, k.reference FROM asked k WHERE k.reference IS NOT NULL) r
    JOIN dispute d ON d.provider_reference = r.reference
    WHERE d.provider = $2
    UNION ALL
    SELECT r.position, 'alternative_reference', a.merchant_id, a.payment_id, coalesce(a.refund_id, a.payment_id), a.state,
           a.attempt_id, a.idempotency_key, a.provider_reference, r.is_named AND a.operation <> 'authorize', null
    FROM (SELECT k.position, k.merchant_reference, k.is_named FROM asked k WHERE k.merchant_reference IS NOT NULL) r
    JOIN attempt a ON a.attempt_id = r.merchant_reference
    WHERE a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, 'payment_reference', p.merchant_id, p.payment_id, null, p.state, null, null, p.provider_reference,
           r.is_named, null
    FROM (SELECT k.position, k.payment_reference, k.is_named FROM asked k WHERE k.payment_reference IS NOT NULL) r
    JOIN payment p ON p.provider_reference = r.payment_reference
    WHERE p.provider = $2
), named AS MATERIALIZED (
    SELECT b.* FROM by_name b
    WHERE EXISTS (
        SELECT 1 FROM attempt s
        WHERE s.merchant_id = b.merchant_id AND s.payment_id = b.payment_id AND s.operation = 'authorize'
          AND s.provider = $2 AND s.account = $3
    )
)
SELECT n.position, n.found_by, n.merchant_id, n.payment_id, coalesce(n.subject_id, t.subject_id, n.payment_id) AS subject_id,
       n.state, n.attempt_id, n.idempotency_key, n.provider_reference, t.kind AS posted_as, t.version, t.leg, t.currency,
       CASE WHEN t.debit = $4 THEN t.amount ELSE -t.amount END AS amount, EXISTS (
    SELECT 1 FROM covered_posting c
    WHERE c.merchant_id = t.merchant_id AND c.payment_id = t.stream_id AND c.subject_id = t.subject_id
      AND c.subject_version = t.version AND c.leg = t.leg AND c.reason = ANY ($6::text[])
) AS taken, CASE WHEN n.asks_name THEN (
    SELECT m.name FROM posting_name m
    WHERE m.merchant_id = t.merchant_id AND m.subject_id = t.subject_id AND m.version = t.version
) END AS name, n.movements
FROM named n
LEFT JOIN transfer t ON t.merchant_id = n.merchant_id AND t.stream_id = n.payment_id
  AND (n.subject_id IS NULL OR t.subject_id = n.subject_id) AND (t.debit = $4 OR t.credit = $4)
ORDER BY n.position, n.attempt_id, t.version, t.leg;

-- candidates_named: what ``candidates`` has of rows whose names were found before: the row at the place $3 names at the
-- stage $4 what $5 to $13 are. $1: the account of the provider in our books; $2: reasons with which a row takes a posting
SELECT n.position,
       CASE n.stage
           WHEN 1 THEN 'provider_reference' WHEN 2 THEN 'alternative_reference' ELSE 'payment_reference'
       END AS found_by,
       n.merchant_id, n.payment_id, coalesce(n.subject_id, t.subject_id, n.payment_id) AS subject_id, n.state, n.attempt_id,
       n.idempotency_key, n.provider_reference, t.kind AS posted_as, t.version, t.leg, t.currency,
       CASE WHEN t.debit = $1 THEN t.amount ELSE -t.amount END AS amount, EXISTS (
    SELECT 1 FROM covered_posting c
    WHERE c.merchant_id = t.merchant_id AND c.payment_id = t.stream_id AND c.subject_id = t.subject_id
      AND c.subject_version = t.version AND c.leg = t.leg AND c.reason = ANY ($2::text[])
) AS taken, CASE WHEN n.own_name IS NOT NULL THEN (
    SELECT m.name FROM posting_name m
    WHERE m.merchant_id = t.merchant_id AND m.subject_id = t.subject_id AND m.version = t.version
) END AS name, n.movements
FROM (
    SELECT unnest($3::int[]) AS position, unnest($4::int[]) AS stage, unnest($5::text[]) AS merchant_id,
           unnest($6::text[]) AS payment_id, unnest($7::text[]) AS subject_id, unnest($8::text[]) AS state,
           unnest($9::text[]) AS attempt_id, unnest($10::text[]) AS idempotency_key,
           unnest($11::text[]) AS provider_reference, unnest($12::text[]) AS own_name,
           unnest($13::text[]) AS movements
) n
LEFT JOIN transfer t ON t.merchant_id = n.merchant_id AND t.stream_id = n.payment_id
  AND (n.subject_id IS NULL OR t.subject_id = n.subject_id) AND (t.debit = $1 OR t.credit = $1)
ORDER BY n.position, n.attempt_id, t.version, t.leg;
