-- statements_to_compare: imported files of the formats $1 with a statement that adds up, by this file or by a later one, and
-- has no evidence yet, the oldest first; not of one that is known to be a double
SELECT DISTINCT f.file_id, f.provider, f.account, f.format, f.parser_version
FROM settlement_file f
JOIN settlement_batch b ON b.file_id = f.file_id
WHERE f.state = 'imported' AND f.purpose = 'post' AND f.format = ANY ($1::text[]) AND EXISTS (
    SELECT 1 FROM settlement_batch p
    JOIN settlement_file o ON o.file_id = p.file_id
    WHERE p.provider = b.provider AND p.account = b.account AND p.batch = b.batch AND p.currency = b.currency
      AND p.part >= b.part AND p.state = 'balanced' AND o.state = 'imported'
) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence_set s WHERE s.file_id = b.file_id AND s.batch = b.batch AND s.currency = b.currency
) AND NOT EXISTS (
    SELECT 1 FROM bank_statement_name n
    WHERE n.provider = b.provider AND n.account = b.account AND n.batch = b.batch AND n.currency = b.currency AND n.ordinal > 1
)
ORDER BY f.file_id;

-- hold_statements: a file whose entries are compared must still be imported when this transaction commits
UPDATE settlement_file SET state = state
WHERE file_id = $1 AND state = 'imported' AND purpose = 'post'
RETURNING file_id;

-- heads_of_file: the statements of the file $1 that add up, by this file or by a later one, and have no evidence yet; as the
-- first file has them with which they add up
SELECT b.batch, b.currency, w.sequence, w.balance_account, w.to_on, w.opening, w.closing
FROM settlement_batch b
JOIN settlement_batch w ON w.provider = b.provider AND w.account = b.account AND w.batch = b.batch AND w.currency = b.currency
WHERE b.file_id = $1 AND w.part = (
    SELECT min(p.part) FROM settlement_batch p
    JOIN settlement_file o ON o.file_id = p.file_id
    WHERE p.provider = b.provider AND p.account = b.account AND p.batch = b.batch AND p.currency = b.currency
      AND p.part >= b.part AND p.state = 'balanced' AND o.state = 'imported'
) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence_set s WHERE s.file_id = b.file_id AND s.batch = b.batch AND s.currency = b.currency
)
ORDER BY b.batch, b.currency;

-- statement_names: which statements have this name, the one that counts first
SELECT ordinal, batch FROM bank_statement_name
WHERE provider = $1 AND account = $2 AND currency = $3 AND name = $4
ORDER BY ordinal;

-- counted_statements: statements in $3 of this account that count, with these balances, and a last day from $4 to $5
SELECT n.name, n.batch, b.sequence, b.to_on, b.opening::bigint AS opening, b.closing::bigint AS closing
FROM bank_statement_name n
JOIN settlement_batch b ON b.provider = n.provider AND b.account = n.account AND b.batch = n.batch AND b.currency = n.currency
WHERE n.provider = $1 AND n.account = $2 AND n.currency = $3 AND n.ordinal = 1
  AND b.to_on BETWEEN $4 AND $5 AND b.opening = $6::bigint AND b.closing = $7::bigint
ORDER BY n.name, b.part;

-- balance_accounts: what banks call the account in files of the formats $3, in each currency
SELECT DISTINCT b.currency, b.balance_account, f.format
FROM settlement_batch b
JOIN settlement_file f ON f.file_id = b.file_id AND f.state = 'imported' AND f.format = ANY ($3::text[])
WHERE b.provider = $1 AND b.account = $2 AND b.balance_account IS NOT NULL
ORDER BY b.currency, b.balance_account, f.format;

-- format_of_statements: the format of the file $1, where it is one of $2
SELECT format FROM settlement_file WHERE file_id = $1 AND format = ANY ($2::text[]);

-- insert_statement_name: the statement has this name; another one with its ordinal is a lost race
INSERT INTO bank_statement_name (provider, account, currency, name, ordinal, batch, file_id)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- entries: the entries of the file $1 in these statements
SELECT r.position, r.line, r.batch, r.row_key, r.occurrence, r.kind, r.raw_type, r.currency, r.gross, r.fee, r.net,
       r.reference, r.booked_at, r.value_on, r.other_references, r.text
FROM settlement_row r
WHERE r.file_id = $1 AND EXISTS (
    SELECT 1 FROM (SELECT unnest($2::text[]) AS batch, unnest($3::text[]) AS currency) k
    WHERE k.batch = r.batch AND k.currency = r.currency
)
ORDER BY r.position;

-- open_entries: entries of files of the formats $1 whose newest evidence explains nothing
SELECT e.file_id, e.version, e.reason, e.parser, e.parser_version, f.provider, f.account, r.position, r.line, r.batch,
       r.row_key, r.occurrence, r.kind, r.raw_type, r.currency, r.gross, r.fee, r.net, r.reference, r.booked_at, r.value_on,
       r.other_references, r.text
FROM settlement_evidence e
JOIN settlement_file f ON f.file_id = e.file_id
JOIN settlement_row r ON r.file_id = e.file_id AND r.position = e.position
WHERE e.status = 'unexplained' AND f.format = ANY ($1::text[]) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
ORDER BY e.file_id, e.position;

-- payouts: every payout of a provider's imported file, and what of it arrived: what the provider takes for it is its fee, and is
-- not sent. settled: its batch has evidence. $2, $3: of this account at this provider alone, where they are not null
WITH came AS (
    SELECT payout_file_id, payout_position, count(*)::integer AS arrivals, sum(amount)::bigint AS arrived FROM bank_arrival
    GROUP BY payout_file_id, payout_position
)
SELECT r.file_id, r.position, f.provider, f.account, r.batch, r.currency, r.kind, -r.gross AS amount, r.reference,
       r.payout_reference, r.other_references, coalesce(r.booked_at, r.occurred_at) AS sent_at, r.value_on,
       s.file_id IS NOT NULL AS settled, coalesce(c.arrivals, 0) AS arrivals, coalesce(c.arrived, 0) AS arrived
FROM settlement_row r
JOIN settlement_file f ON f.file_id = r.file_id
LEFT JOIN settlement_evidence_set s ON s.file_id = r.file_id AND s.batch = r.batch AND s.currency = r.currency
LEFT JOIN came c ON c.payout_file_id = r.file_id AND c.payout_position = r.position
WHERE r.kind IN ('payout', 'payout_reversal') AND f.state = 'imported' AND f.purpose = 'post'
  AND f.format <> ALL ($1::text[])
  AND ($2::text IS NULL OR f.provider = $2) AND ($3::text IS NULL OR f.account = $3)
ORDER BY r.file_id, r.position;

-- payouts_known: changes whenever a payout comes, is settled, or is withdrawn
SELECT count(*) || ' ' || count(s.file_id) || ' ' || count(*) FILTER (WHERE f.state = 'withdrawn') AS known
FROM settlement_row r
JOIN settlement_file f ON f.file_id = r.file_id
LEFT JOIN settlement_evidence_set s ON s.file_id = r.file_id AND s.batch = r.batch AND s.currency = r.currency
WHERE r.kind IN ('payout', 'payout_reversal');

-- hold_payouts: files whose payouts arrive must still be imported when this transaction commits
UPDATE settlement_file SET state = state
WHERE file_id = ANY ($1::text[]) AND state = 'imported'
RETURNING file_id;

-- insert_arrival: another one with its ordinal is a lost race
INSERT INTO bank_arrival (payout_file_id, payout_position, ordinal, file_id, position, version, batch, currency, provider, amount)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- payout_of_entry: the payout of which the entry at the position $2 of the file $1 has a part, by its newest evidence
SELECT payout_file_id, payout_position FROM bank_arrival
WHERE file_id = $1 AND position = $2
ORDER BY version DESC
LIMIT 1;

-- newest_comparison: the newest one of a statement
SELECT number, root FROM bank_comparison
WHERE provider = $1 AND account = $2 AND batch = $3 AND currency = $4
ORDER BY number DESC
LIMIT 1;

-- insert_comparison: another one with its number is a lost race
INSERT INTO bank_comparison (provider, account, batch, currency, number, rows, root, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8);

-- insert_statement_set: the first evidence of one file about one statement is complete
INSERT INTO settlement_evidence_set (file_id, batch, currency, provider, account, rows, net, root, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- statements_to_post: statements with comparisons that are not posted; $1: whose record statements are in
SELECT c.provider, c.account, c.batch, c.currency
FROM bank_comparison c
LEFT JOIN bank_statement b ON b.merchant_id = $1 AND b.provider = c.provider AND b.account = c.account
  AND b.statement = c.batch AND b.currency = c.currency
GROUP BY c.provider, c.account, c.batch, c.currency, b.comparisons
HAVING b.comparisons IS NULL OR b.comparisons < max(c.number)
ORDER BY c.provider, c.account, c.batch, c.currency;

-- parts_of_statement: what the newest evidence of a statement comes to, by part
SELECT e.part, count(*) AS rows, sum(e.gross - e.written_off)::bigint AS gross, sum(e.written_off)::bigint AS written_off
FROM settlement_evidence_set s
JOIN settlement_evidence e ON e.file_id = s.file_id AND e.batch = s.batch AND e.currency = s.currency
WHERE s.provider = $1 AND s.account = $2 AND s.batch = $3 AND s.currency = $4 AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
GROUP BY e.part
ORDER BY e.part;

-- arrivals_of_statement: what of it are payouts, by provider
SELECT a.provider, sum(a.amount)::bigint AS amount
FROM settlement_evidence_set s
JOIN bank_arrival a ON a.file_id = s.file_id AND a.batch = s.batch AND a.currency = s.currency
WHERE s.provider = $1 AND s.account = $2 AND s.batch = $3 AND s.currency = $4
GROUP BY a.provider
ORDER BY a.provider;

-- bank_statement: one statement as it is posted
SELECT merchant_id, statement_id, version, state, provider, account, statement, currency, comparisons, root, entries, net,
       arrived, arrivals, fees, unexplained, written_off, created_at, updated_at
FROM bank_statement
WHERE merchant_id = $1 AND statement_id = $2;

-- heads: every statement of a bank's imported files that has balances, its newest part. counts: its entries are posted
SELECT b.provider, b.account, b.balance_account, b.currency, b.batch, b.file_id, b.sequence, b.from_on, b.to_on,
       b.opening::bigint AS opening, b.closing::bigint AS closing, b.rows, p.statement_id IS NOT NULL AS counts,
       EXISTS (SELECT 1 FROM bank_statement_name n
               WHERE n.provider = b.provider AND n.account = b.account AND n.batch = b.batch AND n.currency = b.currency
                 AND n.ordinal > 1) AS doubled,
       f.imported_at
FROM settlement_batch b
JOIN settlement_file f ON f.file_id = b.file_id AND f.state = 'imported' AND f.purpose = 'post' AND f.format = ANY ($1::text[])
LEFT JOIN bank_statement p ON p.provider = b.provider AND p.account = b.account
  AND p.statement = b.batch AND p.currency = b.currency
WHERE b.opening IS NOT NULL AND b.closing IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM settlement_batch l
    JOIN settlement_file n ON n.file_id = l.file_id
    WHERE l.provider = b.provider AND l.account = b.account AND l.batch = b.batch AND l.currency = b.currency AND l.part > b.part
      AND n.state = 'imported'
)
ORDER BY b.provider, b.account, b.currency, b.file_id, b.batch;
