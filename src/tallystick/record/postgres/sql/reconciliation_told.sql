-- sets_to_tell: the evidence that is posted, and of which merchants were not told everything yet; $1: whose record batches
-- are in
SELECT s.file_id, s.provider, s.account, s.batch, s.currency
FROM settlement_evidence_set s
JOIN settled_batch b ON b.merchant_id = $1 AND b.provider = s.provider AND b.account = s.account
  AND b.batch = s.batch AND b.currency = s.currency
WHERE b.state IN ('posted', 'withdrawn') AND position(s.file_id IN b.files::text) > 0 AND NOT EXISTS (
    SELECT 1 FROM reconciliation_told t WHERE t.file_id = s.file_id AND t.batch = s.batch AND t.currency = s.currency
)
ORDER BY s.created_at, s.file_id, s.batch, s.currency;

-- evidence_to_tell: what rows of the file $1 in the batch $2 and currency $3 say of merchants' payments, after the position
-- $4, at most $5: those with a part of $6, or with a reason of $7
SELECT e.merchant_id, e.payment_id, e.subject_id, e.subject_version, e.leg, e.file_id, e.position, e.version, e.kind,
       e.status, e.reason, e.part, e.gross, e.fee, e.net, e.row_key, e.further, r.occurrence
FROM settlement_evidence e
JOIN settlement_row r ON r.file_id = e.file_id AND r.position = e.position
WHERE e.file_id = $1 AND e.counted_in IS NULL AND e.batch = $2 AND e.currency = $3 AND e.position > $4
  AND e.merchant_id IS NOT NULL AND (e.part = ANY ($6::text[]) OR e.reason = ANY ($7::text[])) AND NOT EXISTS (
      SELECT 1 FROM settlement_evidence l
      WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
  )
ORDER BY e.position
LIMIT $5;

-- later_evidence_to_tell: the same of evidence that counts in the set $1
SELECT e.merchant_id, e.payment_id, e.subject_id, e.subject_version, e.leg, e.file_id, e.position, e.version, e.kind,
       e.status, e.reason, e.part, e.gross, e.fee, e.net, e.row_key, e.further, r.occurrence
FROM settlement_evidence e
JOIN settlement_row r ON r.file_id = e.file_id AND r.position = e.position
WHERE e.counted_in = $1 AND e.batch = $2 AND e.currency = $3 AND e.merchant_id IS NOT NULL
  AND (e.part = ANY ($4::text[]) OR e.reason = ANY ($5::text[])) AND NOT EXISTS (
      SELECT 1 FROM settlement_evidence l
      WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
  )
ORDER BY e.file_id, e.position;

-- withdrawn_to_tell: what rows that the withdrawal $1 took back said before of merchants' payments in the batch $2 and
-- currency $3, after the position $4, of at most $5 rows: comparisons with a part of $6. version: of the evidence that says
-- that it is taken back. A withdrawal is of one file, which is withdrawn once. Rows are counted one by one, in their order, so that
-- a page reads no more than a page
WITH taken AS MATERIALIZED (
    SELECT w.file_id, w.position, w.version
    FROM settlement_evidence w
    WHERE w.file_id = (SELECT m.file_id FROM settlement_evidence m WHERE m.counted_in = $1 LIMIT 1)
      AND w.reason = 'withdrawn' AND w.batch = $2 AND w.currency = $3 AND w.position > $4 AND (
          SELECT count(*) FROM settlement_evidence p
          WHERE p.file_id = w.file_id AND p.position = w.position AND p.version < w.version AND p.merchant_id IS NOT NULL
            AND p.part = ANY ($6::text[])
      ) > 0
    ORDER BY w.position
    LIMIT $5
)
SELECT e.merchant_id, e.payment_id, e.subject_id, e.subject_version, e.leg, e.file_id, e.position, t.version, e.kind,
       e.status, e.reason, e.part, e.gross, e.fee, e.net, e.row_key, e.further, r.occurrence
FROM taken t
JOIN settlement_evidence e ON e.file_id = t.file_id AND e.position = t.position AND e.version < t.version
JOIN settlement_row r ON r.file_id = e.file_id AND r.position = e.position
WHERE e.merchant_id IS NOT NULL AND e.part = ANY ($6::text[])
ORDER BY e.position, e.version;

-- superseded: which of the comparisons of the files $1 at the positions $2 with the versions $3 a later one has superseded; a row
-- at a time by its key, whatever a plan thinks of lists and of evidence that is new
SELECT k.file_id, k.position, k.version
FROM (SELECT unnest($1::text[]) AS file_id, unnest($2::int[]) AS position, unnest($3::int[]) AS version) k
WHERE (
    SELECT count(*) FROM settlement_evidence l
    WHERE l.file_id = k.file_id AND l.position = k.position AND l.version > k.version
) > 0;

-- settling: what the payments $2 of the merchants $1 are settled by: rows whose newest evidence has a part of $3, with the set
-- that it counts in. Found by payment first: sets and batches are many
WITH live AS MATERIALIZED (
    SELECT e.merchant_id, e.payment_id, e.subject_id, e.subject_version, e.leg, e.file_id, e.position, e.version, e.kind,
           e.status, e.reason, e.part, e.gross, e.fee, e.net, e.row_key, e.further, e.batch, e.currency, e.compared_at,
           coalesce(e.counted_in, e.file_id) AS set_id
    FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id) k
    JOIN settlement_evidence e ON e.merchant_id = k.merchant_id AND e.payment_id = k.payment_id
    WHERE e.part = ANY ($3::text[]) AND NOT EXISTS (
        SELECT 1 FROM settlement_evidence l
        WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
    )
)
SELECT v.merchant_id, v.payment_id, v.subject_id, v.subject_version, v.leg, v.file_id, v.position, v.version, v.kind, v.status,
       v.reason, v.part, v.gross, v.fee, v.net, v.row_key, v.further, r.occurrence, v.set_id, s.provider, s.account, v.batch,
       v.currency
FROM live v
JOIN settlement_row r ON r.file_id = v.file_id AND r.position = v.position
JOIN settlement_evidence_set s ON s.file_id = v.set_id AND s.batch = v.batch AND s.currency = v.currency
ORDER BY v.compared_at, v.file_id, v.position;

-- said_last: what merchants were told last of these rows and movements
SELECT r.merchant_id, r.reconciliation_id, r.version, r.state, r.payment_id, r.subject_id, r.kind, r.reason, r.provider,
       r.account, r.batch, r.currency, r.amount, r.fee, r.net, r.file_id, r.position, r.evidence_version, r.created_at,
       r.updated_at
FROM reconciliation r
JOIN (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS reconciliation_id) k
  ON k.merchant_id = r.merchant_id AND k.reconciliation_id = r.reconciliation_id;

-- insert_told: merchants were told everything of a set
INSERT INTO reconciliation_told (file_id, batch, currency, told_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (file_id, batch, currency) DO NOTHING;
