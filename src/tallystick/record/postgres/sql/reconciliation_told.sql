-- sets_to_tell: the evidence that is posted, and of which merchants were not told everything yet; $1: whose record batches
-- are in
SELECT s.file_id, s.provider, s.account, s.batch, s.currency
FROM settlement_evidence_set s
JOIN settled_batch b ON b.merchant_id = $1 AND b.provider = s.provider AND b.account = s.account
  AND b.batch = s.batch AND b.currency = s.currency
WHERE b.state = 'posted' AND position(s.file_id IN b.files::text) > 0 AND NOT EXISTS (
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

-- told_already: which of these were told
SELECT r.reconciliation_id
FROM reconciliation r
JOIN (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS reconciliation_id) k
  ON k.merchant_id = r.merchant_id AND k.reconciliation_id = r.reconciliation_id;

-- insert_told: merchants were told everything of a set
INSERT INTO reconciliation_told (file_id, batch, currency, told_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (file_id, batch, currency) DO NOTHING;
