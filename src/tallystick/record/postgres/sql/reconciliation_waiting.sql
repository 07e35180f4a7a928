-- waiting_providers: the providers with rows that wait for what the record does not have yet, of files of other formats than
-- $2; $1: reasons for which a row waits. A duplicate that was told of as news waits too, for a posting of its own; so does one of
-- a payment of which a row was withdrawn, whose posting it may have been; and so do duplicates of what a row of another amount
-- has by its payment alone, and that row
SELECT DISTINCT f.provider
FROM settlement_evidence e
JOIN settlement_file f ON f.file_id = e.file_id
WHERE e.status IN ('mismatched', 'unexplained') AND (e.reason = ANY ($1::text[]) OR e.reason = 'duplicate' AND (EXISTS (
    SELECT 1 FROM settlement_news w WHERE w.file_id = e.file_id AND w.position = e.position
) OR EXISTS (
    SELECT 1 FROM settlement_evidence w
    WHERE w.merchant_id = e.merchant_id AND w.payment_id = e.payment_id AND w.reason = 'withdrawn'
)) OR e.reason IN ('amount', 'duplicate') AND EXISTS (
    SELECT 1 FROM settlement_evidence o
    WHERE o.merchant_id = e.merchant_id AND o.payment_id = e.payment_id AND o.subject_id = e.subject_id
      AND o.subject_version = e.subject_version AND o.leg = e.leg AND o.reason IN ('amount', 'duplicate') AND o.reason <> e.reason
      AND CASE WHEN e.reason = 'amount' THEN e.stage ELSE o.stage END = 'reference_amount_currency' AND NOT EXISTS (
          SELECT 1 FROM settlement_evidence l
          WHERE l.supersedes IS NOT NULL AND l.file_id = o.file_id AND l.position = o.position AND l.supersedes = o.version
      )
)) AND e.stage <> 'person' AND f.state = 'imported' AND f.purpose = 'post' AND f.format <> ALL ($2::text[]) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
ORDER BY f.provider;

-- waiting_candidates: the postings that rows of the provider $1 which wait may be about, as ``candidates`` of a file. $2: reasons for
-- which a row waits, besides those of a duplicate and of another amount as above; $3: the account of postings; $4: kinds of rows
-- that are about payments; $5: reasons with which a row takes a posting; $6: formats and kinds of rows, as format:kind, whose reference is
-- that of their charge
WITH waiting AS MATERIALIZED (
    SELECT e.file_id, e.position, f.account, r.reference, r.merchant_reference, r.payment_reference,
           r.reference IS NOT NULL AND r.reference IS DISTINCT FROM r.payment_reference
           AND f.format || ':' || r.kind <> ALL ($6::text[]) AS is_named
    FROM settlement_evidence e
    JOIN settlement_file f ON f.file_id = e.file_id
    JOIN settlement_row r ON r.file_id = e.file_id AND r.position = e.position
    WHERE f.provider = $1 AND e.status IN ('mismatched', 'unexplained')
      AND (e.reason = ANY ($2::text[]) OR e.reason = 'duplicate' AND (EXISTS (
          SELECT 1 FROM settlement_news w WHERE w.file_id = e.file_id AND w.position = e.position
      ) OR EXISTS (
          SELECT 1 FROM settlement_evidence w
          WHERE w.merchant_id = e.merchant_id AND w.payment_id = e.payment_id AND w.reason = 'withdrawn'
      )) OR e.reason IN ('amount', 'duplicate') AND EXISTS (
          SELECT 1 FROM settlement_evidence o
          WHERE o.merchant_id = e.merchant_id AND o.payment_id = e.payment_id AND o.subject_id = e.subject_id
            AND o.subject_version = e.subject_version AND o.leg = e.leg AND o.reason IN ('amount', 'duplicate') AND o.reason <> e.reason
            AND CASE WHEN e.reason = 'amount' THEN e.stage ELSE o.stage END = 'reference_amount_currency' AND NOT EXISTS (
                SELECT 1 FROM settlement_evidence l
                WHERE l.supersedes IS NOT NULL AND l.file_id = o.file_id AND l.position = o.position AND l.supersedes = o.version
            )
      )) AND e.stage <> 'person' AND f.state = 'imported' AND f.purpose = 'post' AND r.kind = ANY ($4::text[]) AND NOT EXISTS (
          SELECT 1 FROM settlement_evidence l
          WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
      )
), by_name AS (
    SELECT w.file_id, w.position, w.account, 'provider_reference' AS found_by, a.merchant_id, a.payment_id,
           coalesce(a.refund_id, a.payment_id) AS subject_id, a.state, a.attempt_id, a.idempotency_key, a.provider_reference,
           w.is_named AND a.operation = 'capture' AS asks_name, null::text AS movements
    FROM waiting w
    JOIN attempt a ON a.provider_reference = w.reference
    WHERE a.provider = $1 AND a.account = w.account AND a.operation <> 'cancel'
    UNION ALL
    SELECT w.file_id, w.position, w.account, 'provider_reference', f.merchant_id, f.payment_id, f.refund_id, f.state,
           null, null, f.provider_reference, false, null
    FROM waiting w
    JOIN refund f ON f.provider_reference = w.reference
    WHERE f.provider = $1
    UNION ALL
    SELECT w.file_id, w.position, w.account, 'provider_reference', d.merchant_id, d.payment_id, d.dispute_id, d.state,
           null, null, d.provider_reference, false, d.movements::text
    FROM waiting w
    JOIN dispute d ON d.provider_reference = w.reference
    WHERE d.provider = $1
    UNION ALL
    SELECT w.file_id, w.position, w.account, 'alternative_reference', a.merchant_id, a.payment_id,
           coalesce(a.refund_id, a.payment_id), a.state, a.attempt_id, a.idempotency_key, a.provider_reference,
           w.is_named AND a.operation <> 'authorize', null
    FROM waiting w
    JOIN attempt a ON a.attempt_id = w.merchant_reference
    WHERE a.provider = $1 AND a.account = w.account AND a.operation <> 'cancel'
    UNION ALL
    SELECT w.file_id, w.position, w.account, 'payment_reference', p.merchant_id, p.payment_id, null, p.state, null,
           null, p.provider_reference, w.is_named, null
    FROM waiting w
    JOIN payment p ON p.provider_reference = w.payment_reference
    WHERE p.provider = $1
), named AS (
    SELECT b.file_id, b.position, b.found_by, b.merchant_id, b.payment_id, b.subject_id, b.state, b.attempt_id,
           b.idempotency_key, b.provider_reference, b.asks_name, b.movements
    FROM by_name b
    WHERE EXISTS (
        SELECT 1 FROM attempt s
        WHERE s.merchant_id = b.merchant_id AND s.payment_id = b.payment_id AND s.operation = 'authorize'
          AND s.provider = $1 AND s.account = b.account
    )
)
SELECT n.file_id, n.position, n.found_by, n.merchant_id, n.payment_id,
       coalesce(n.subject_id, t.subject_id, n.payment_id) AS subject_id, n.state, n.attempt_id, n.idempotency_key,
       n.provider_reference, t.kind AS posted_as, t.version, t.leg, t.currency,
       CASE WHEN t.debit = $3 THEN t.amount ELSE -t.amount END AS amount, EXISTS (
    SELECT 1 FROM settlement_evidence e
    WHERE e.merchant_id = t.merchant_id AND e.payment_id = t.stream_id AND (e.subject_id = t.subject_id AND e.subject_version = t.version AND e.leg = t.leg OR EXISTS (
          SELECT 1 FROM json_to_recordset(e.further) AS j (subject_id text, subject_version integer, leg integer, covers bigint)
          WHERE j.subject_id = t.subject_id AND j.subject_version = t.version AND j.leg = t.leg))
      AND e.reason = ANY ($5::text[])
      AND NOT (e.reason = 'amount' AND (e.file_id, e.position) IN (SELECT w.file_id, w.position FROM waiting w))
      AND NOT EXISTS (
          SELECT 1 FROM settlement_evidence l
          WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
      )
) AS taken, CASE WHEN n.asks_name THEN (
    SELECT m.name FROM posting_name m
    WHERE m.merchant_id = t.merchant_id AND m.subject_id = t.subject_id AND m.version = t.version
) END AS name, n.movements
FROM named n
LEFT JOIN transfer t ON t.merchant_id = n.merchant_id AND t.stream_id = n.payment_id
  AND (n.subject_id IS NULL OR t.subject_id = n.subject_id) AND (t.debit = $3 OR t.credit = $3)
ORDER BY n.file_id, n.position, n.attempt_id, t.version, t.leg;

-- compared_again: the rows at the positions $2 of the files $1, with what they came to last
SELECT f.account, f.format, f.parser_version, e.version AS compared, e.status, e.reason, e.file_id, r.position, r.line, r.batch,
       r.row_key, r.occurrence, r.kind, r.raw_type, r.currency, r.gross, r.fee, r.net, r.payer_amount, r.payer_currency, r.rate,
       r.reference, r.payment_reference, r.merchant_reference, r.payout_reference, r.method, r.country, r.occurred_at,
       r.booked_at, r.value_on, r.fee_parts
FROM (SELECT unnest($1::text[]) AS file_id, unnest($2::int[]) AS position) k
JOIN settlement_evidence e ON e.file_id = k.file_id AND e.position = k.position
JOIN settlement_file f ON f.file_id = k.file_id
JOIN settlement_row r ON r.file_id = k.file_id AND r.position = k.position
WHERE NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
ORDER BY e.file_id, e.position;
