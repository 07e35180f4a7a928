-- stating_providers: providers whose files of other formats than $1 say what their balance opens and closes with
SELECT DISTINCT b.provider
FROM settlement_batch b
JOIN settlement_file f ON f.file_id = b.file_id AND f.state = 'imported' AND f.purpose = 'post' AND f.format <> ALL ($1::text[])
WHERE b.opening IS NOT NULL AND b.closing IS NOT NULL
ORDER BY b.provider;

-- stated: every statement of $1 that says what it opens and closes with, its newest part: a bank's, or a provider's of the
-- balance that it keeps for us. moved: what is posted of it; null where nothing is yet. $2: whose record postings are in;
-- $3: formats of banks. doubled: another statement has its name
SELECT b.provider, b.account, b.balance_account, b.currency, b.batch, b.file_id, b.sequence, b.from_on, b.to_on,
       b.opening::bigint AS opening, b.closing::bigint AS closing, b.rows, f.imported_at, f.format = ANY ($3::text[]) AS is_bank,
       CASE WHEN f.format = ANY ($3::text[]) THEN p.net ELSE s.net - s.carried END AS moved,
       EXISTS (SELECT 1 FROM bank_statement_name n
               WHERE n.provider = b.provider AND n.account = b.account AND n.batch = b.batch AND n.currency = b.currency
                 AND n.ordinal > 1) AS doubled
FROM settlement_batch b
JOIN settlement_file f ON f.file_id = b.file_id AND f.state = 'imported' AND f.purpose = 'post'
LEFT JOIN bank_statement p ON p.merchant_id = $2 AND p.provider = b.provider AND p.account = b.account
  AND p.statement = b.batch AND p.currency = b.currency
LEFT JOIN settled_batch s ON s.merchant_id = $2 AND s.provider = b.provider AND s.account = b.account
  AND s.batch = b.batch AND s.currency = b.currency
WHERE b.provider = $1 AND b.opening IS NOT NULL AND b.closing IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM settlement_batch l
    JOIN settlement_file n ON n.file_id = l.file_id
    WHERE l.provider = b.provider AND l.account = b.account AND l.batch = b.batch AND l.currency = b.currency AND l.part > b.part
      AND n.state = 'imported'
)
ORDER BY b.account, b.currency, b.file_id, b.batch;

-- not_stated: what is posted of batches of $1 for which no statement says a balance; $2: whose record they are in
SELECT s.currency, count(*) AS batches, sum(s.net - s.carried)::bigint AS moved, sum(abs(s.net - s.carried))::bigint AS absolute
FROM settled_batch s
WHERE s.merchant_id = $2 AND s.provider = $1 AND s.state <> 'withdrawn' AND NOT EXISTS (
    SELECT 1 FROM settlement_batch b
    JOIN settlement_file f ON f.file_id = b.file_id
    WHERE b.provider = s.provider AND b.account = s.account AND b.batch = s.batch AND b.currency = s.currency
      AND b.opening IS NOT NULL AND b.closing IS NOT NULL AND f.state = 'imported' AND f.purpose = 'post'
)
GROUP BY s.currency
ORDER BY s.currency;

-- ledger: what these accounts come to in the record of $1: debits less credits
SELECT account, currency, (debits - credits)::bigint AS net
FROM balance
WHERE merchant_id = $1 AND account = ANY ($2::text[])
ORDER BY account, currency;

-- entries: what the newest evidence of entries of the bank $1 comes to, of those that are in statements with evidence
SELECT e.currency, s.account, e.part, e.status, e.reason, count(*) AS entries, sum(e.net)::bigint AS net,
       sum(abs(e.net))::bigint AS absolute
FROM settlement_evidence_set s
JOIN settlement_evidence e ON e.file_id = s.file_id AND e.batch = s.batch AND e.currency = s.currency
WHERE s.provider = $1 AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
GROUP BY e.currency, s.account, e.part, e.status, e.reason
ORDER BY e.currency, s.account, e.part, e.status, e.reason;
