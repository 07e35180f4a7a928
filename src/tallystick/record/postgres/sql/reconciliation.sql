-- hold_file: a file whose rows are compared must still be imported when this transaction commits
UPDATE settlement_file SET state = state
WHERE file_id = $1 AND state = 'imported' AND purpose = 'post'
RETURNING file_id;

-- take_turn: until this transaction ends nobody else says which row has which posting of the provider $1
INSERT INTO provider_comparison (provider, turns) VALUES ($1, 1)
ON CONFLICT (provider) DO UPDATE SET turns = provider_comparison.turns + 1;

-- balanced_batches: the batches of the file $1 that are what their total says, by this file or by a later one, and have no
-- evidence of it yet
SELECT b.batch, b.currency
FROM settlement_batch b
WHERE b.file_id = $1 AND EXISTS (
    SELECT 1 FROM settlement_batch p
    JOIN settlement_file o ON o.file_id = p.file_id
    WHERE p.provider = b.provider AND p.account = b.account AND p.batch = b.batch AND p.currency = b.currency
      AND p.part >= b.part AND p.state = 'balanced' AND o.state = 'imported'
) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence_set s WHERE s.file_id = b.file_id AND s.batch = b.batch AND s.currency = b.currency
)
ORDER BY b.batch, b.currency;

-- files_to_compare: imported files with a batch that has no evidence yet, the oldest first; not of the formats $1
SELECT DISTINCT f.file_id
FROM settlement_file f
JOIN settlement_batch b ON b.file_id = f.file_id
WHERE f.state = 'imported' AND f.purpose = 'post' AND f.format <> ALL ($1::text[]) AND EXISTS (
    SELECT 1 FROM settlement_batch p
    JOIN settlement_file o ON o.file_id = p.file_id
    WHERE p.provider = b.provider AND p.account = b.account AND p.batch = b.batch AND p.currency = b.currency
      AND p.part >= b.part AND p.state = 'balanced' AND o.state = 'imported'
) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence_set s WHERE s.file_id = b.file_id AND s.batch = b.batch AND s.currency = b.currency
)
ORDER BY f.file_id;

-- batches_to_post: batches with evidence that does not count yet, or with parts that are missing; not of files of the
-- formats $2; what people said is of no file
SELECT DISTINCT s.provider, s.account, s.batch, s.currency
FROM settlement_evidence_set s
LEFT JOIN settlement_file f ON f.file_id = s.file_id
LEFT JOIN settled_batch b ON b.merchant_id = $1 AND b.provider = s.provider AND b.account = s.account
  AND b.batch = s.batch AND b.currency = s.currency
WHERE (f.format IS NULL OR f.format <> ALL ($2::text[]))
  AND (b.state IS NULL OR b.state = 'posting' OR position(s.file_id IN b.files::text) = 0)
ORDER BY s.provider, s.account, s.batch, s.currency;

-- compared_rows: the rows of the file $1 in these batches that have no evidence yet, in the file's order
SELECT r.position, r.line, r.batch, r.row_key, r.occurrence, r.kind, r.raw_type, r.currency, r.gross, r.fee, r.net,
       r.payer_amount, r.payer_currency, r.rate, r.reference, r.payment_reference, r.merchant_reference,
       r.payout_reference, r.method, r.country, r.occurred_at, r.booked_at, r.value_on, r.fee_parts
FROM settlement_row r
WHERE r.file_id = $1 AND EXISTS (
    SELECT 1 FROM (SELECT unnest($2::text[]) AS batch, unnest($3::text[]) AS currency) k
    WHERE k.batch = r.batch AND k.currency = r.currency
) AND NOT EXISTS (SELECT 1 FROM settlement_evidence e WHERE e.file_id = r.file_id AND e.position = r.position)
ORDER BY r.position;

-- candidates: what the rows of the file $1 that have no evidence yet may be about at the account $3 of the provider $2: the
-- postings to $4, and subjects for which no money has moved. $5: kinds of rows that are about payments; $6: reasons with
-- which a row takes a posting; $7: kinds of rows whose reference is that of their charge. name: of the posting, where the row
-- has a name of its own to compare it with
WITH asked AS MATERIALIZED (
    SELECT r.position, r.reference, r.merchant_reference, r.payment_reference,
           r.reference IS NOT NULL AND r.reference IS DISTINCT FROM r.payment_reference AND r.kind <> ALL ($7::text[]) AS is_named
    FROM settlement_row r
    WHERE r.file_id = $1 AND r.kind = ANY ($5::text[])
      AND NOT EXISTS (SELECT 1 FROM settlement_evidence e WHERE e.file_id = r.file_id AND e.position = r.position)
), by_name AS (
    SELECT r.position, 'provider_reference' AS found_by, a.merchant_id, a.payment_id,
           coalesce(a.refund_id, a.payment_id) AS subject_id, a.state, a.attempt_id, a.idempotency_key, a.provider_reference,
           r.is_named AND a.operation = 'capture' AS asks_name, null::text AS movements
    FROM asked r
    JOIN attempt a ON a.provider_reference = r.reference
    WHERE a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, 'provider_reference', f.merchant_id, f.payment_id, f.refund_id, f.state, null, null,
           f.provider_reference, false, null
    FROM asked r
    JOIN refund f ON f.provider_reference = r.reference
    WHERE f.provider = $2
    UNION ALL
    SELECT r.position, 'provider_reference', d.merchant_id, d.payment_id, d.dispute_id, d.state, null, null,
           d.provider_reference, false, d.movements::text
    FROM asked r
    JOIN dispute d ON d.provider_reference = r.reference
    WHERE d.provider = $2
    UNION ALL
    SELECT r.position, 'alternative_reference', a.merchant_id, a.payment_id, coalesce(a.refund_id, a.payment_id), a.state,
           a.attempt_id, a.idempotency_key, a.provider_reference, r.is_named AND a.operation <> 'authorize', null
    FROM asked r
    JOIN attempt a ON a.attempt_id = r.merchant_reference
    WHERE a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, 'payment_reference', p.merchant_id, p.payment_id, null, p.state, null, null, p.provider_reference,
           r.is_named, null
    FROM asked r
    JOIN payment p ON p.provider_reference = r.payment_reference
    WHERE p.provider = $2
), named AS (
    SELECT b.* FROM by_name b
    WHERE EXISTS (
        SELECT 1 FROM attempt s
        WHERE s.merchant_id = b.merchant_id AND s.payment_id = b.payment_id AND s.operation = 'authorize'
          AND s.provider = $2 AND s.account = $3
    )
), taken AS (
    SELECT DISTINCT c.merchant_id, c.subject_id, c.subject_version, c.leg
    FROM covered_posting c
    WHERE c.reason = ANY ($6::text[])
)
SELECT n.position, n.found_by, n.merchant_id, n.payment_id, coalesce(n.subject_id, t.subject_id, n.payment_id) AS subject_id,
       n.state, n.attempt_id, n.idempotency_key, n.provider_reference, t.kind AS posted_as, t.version, t.leg, t.currency,
       CASE WHEN t.debit = $4 THEN t.amount ELSE -t.amount END AS amount, k.leg IS NOT NULL AS taken,
       CASE WHEN n.asks_name THEN (
    SELECT m.name FROM posting_name m
    WHERE m.merchant_id = t.merchant_id AND m.subject_id = t.subject_id AND m.version = t.version
) END AS name, n.movements
FROM named n
LEFT JOIN transfer t ON t.merchant_id = n.merchant_id AND t.stream_id = n.payment_id
  AND (n.subject_id IS NULL OR t.subject_id = n.subject_id) AND (t.debit = $4 OR t.credit = $4)
LEFT JOIN taken k ON k.merchant_id = t.merchant_id AND k.subject_id = t.subject_id AND k.subject_version = t.version
  AND k.leg = t.leg
ORDER BY n.position, n.attempt_id, t.version, t.leg;

-- named_captures: of the payments $2 of the merchants $1, whether they have a capture with another name at the provider than
-- the payment's; a payment at a time, whatever a plan thinks of lists
SELECT k.merchant_id, k.payment_id, EXISTS (
    SELECT 1 FROM attempt a
    WHERE a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.operation = 'capture'
      AND a.provider_reference <> (
          SELECT p.provider_reference FROM payment p WHERE p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id)
) AS named
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id) k;

-- insert_evidence_set: the evidence of one file about one batch is complete
INSERT INTO settlement_evidence_set (file_id, batch, currency, provider, account, rows, net, root, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- insert_evidence_sum: what a set comes to, of one merchant and part
INSERT INTO settlement_evidence_sum (
    file_id, batch, currency, merchant_id, part, rows, gross, fee, tax, rounding, written_off
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- sets_of_file: the evidence of a file, by batch
SELECT provider, account, batch, currency FROM settlement_evidence_set WHERE file_id = $1 ORDER BY batch, currency;

-- roots_of_batch: the evidence about a batch, in the order in which it came
SELECT file_id, root FROM settlement_evidence_set
WHERE provider = $1 AND account = $2 AND batch = $3 AND currency = $4
ORDER BY file_id;

-- sums_of_batch: what the evidence of these files about a batch comes to
SELECT merchant_id, part, sum(rows)::bigint AS rows, sum(gross)::bigint AS gross, sum(fee)::bigint AS fee,
       sum(tax)::bigint AS tax, sum(rounding)::bigint AS rounding, sum(written_off)::bigint AS written_off
FROM settlement_evidence_sum
WHERE file_id = ANY ($1::text[]) AND batch = $2 AND currency = $3
GROUP BY merchant_id, part
ORDER BY merchant_id, part;

-- settled_batch: one batch
SELECT merchant_id, batch_id, version, state, provider, account, batch, currency, files, roots, rows, net, merchants, fees,
       tax, reserve, paid_out, carried, unexplained, rounding, written_off, created_at, updated_at
FROM settled_batch
WHERE merchant_id = $1 AND batch_id = $2;

-- settlement: one merchant's part
SELECT merchant_id, settlement_id, version, state, batch_id, provider, account, batch, currency, rows, charges,
       charge_reversals, refunds, refund_reversals, disputes, dispute_reversals, late, fees, created_at, updated_at
FROM settlement
WHERE merchant_id = $1 AND settlement_id = $2;

-- evidence_of_payment: what settlement rows say of a payment, the oldest first
SELECT file_id, position, version, line, gross, fee, net, covers, difference, tolerance, fee_expected, compared_at,
       subject_version, leg, fee_schedule_version, parser_version, supersedes, batch, currency, kind, row_key, status,
       reason, stage, part, merchant_id, payment_id, subject_id, attempt_id, idempotency_key, provider_reference,
       row_reference, payment_reference, fee_unchecked, parser, actor, compared,
       rounding, written_off, counted_in, further
FROM settlement_evidence
WHERE merchant_id = $1 AND payment_id = $2
ORDER BY compared_at, file_id, position, version;

-- differences_by_reason: what rows of the provider $1 add to the difference of the balances, besides their fees; $2: kinds
-- of rows that leave the balance
SELECT e.currency, e.status, e.reason, count(*) AS rows, sum(e.difference + e.fee)::bigint AS difference,
       sum(abs(e.difference + e.fee))::bigint AS absolute, sum(e.fee)::bigint AS fee,
       sum(coalesce(e.fee - e.fee_expected, 0))::bigint AS fee_off,
       sum(abs(coalesce(e.fee - e.fee_expected, 0)))::bigint AS fee_off_absolute,
       count(*) FILTER (WHERE e.fee <> e.fee_expected) AS fees_wrong,
       count(*) FILTER (WHERE e.fee_expected IS NULL AND e.fee <> 0) AS fees_unchecked
FROM settlement_evidence e
JOIN settlement_evidence_set s ON s.file_id = e.file_id AND s.batch = e.batch AND s.currency = e.currency
WHERE s.provider = $1 AND e.kind <> ALL ($2::text[]) AND e.reason <> 'withdrawn' AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
GROUP BY e.currency, e.status, e.reason
ORDER BY e.currency, e.status, e.reason;

-- file_totals: what the files of the provider $1 that were not withdrawn say that the balance moved by, besides what left it; from the rows
-- themselves
SELECT r.currency, sum(r.net)::bigint AS net
FROM settlement_row r
JOIN settlement_evidence_set s ON s.file_id = r.file_id AND s.batch = r.batch AND s.currency = r.currency
JOIN settlement_file f ON f.file_id = r.file_id
WHERE s.provider = $1 AND r.kind <> ALL ($2::text[]) AND f.state <> 'withdrawn'
GROUP BY r.currency
ORDER BY r.currency;

-- record_totals: what our postings to the account $1 come to, by currency; settlements are of the kinds $2
SELECT currency, sum(CASE WHEN debit = $1 THEN amount ELSE -amount END)::bigint AS net
FROM transfer
WHERE (debit = $1 OR credit = $1) AND kind <> ALL ($2::text[])
GROUP BY currency
ORDER BY currency;

-- postings_without_row: our postings to the account $1 that no row covers. $2: kinds of settlements. converted: a row has
-- it in another currency
WITH covered AS (
    SELECT c.merchant_id, c.subject_id, c.subject_version, c.leg, max(abs(c.covers)) AS covers,
           bool_or(c.reason = ANY ($3::text[])) AS takes
    FROM covered_posting c
    GROUP BY c.merchant_id, c.subject_id, c.subject_version, c.leg
)
SELECT t.currency, t.kind, coalesce(c.takes, false) AS converted, count(*) AS postings,
       sum(CASE WHEN t.debit = $1 THEN t.amount ELSE -t.amount END)::bigint AS amount, sum(t.amount)::bigint AS absolute
FROM transfer t
LEFT JOIN covered c ON c.merchant_id = t.merchant_id AND c.subject_id = t.subject_id AND c.subject_version = t.version
  AND c.leg = t.leg
WHERE (t.debit = $1 OR t.credit = $1) AND t.kind <> ALL ($2::text[]) AND coalesce(c.covers, 0) = 0
GROUP BY t.currency, t.kind, coalesce(c.takes, false)
ORDER BY t.currency, t.kind, converted;

-- open_rows: rows of the provider $1 that somebody has to look at, the first $2
SELECT e.file_id, e.position, e.line, e.batch, e.currency, e.kind, e.status, e.reason, e.stage, e.gross, e.fee,
       e.fee_expected, e.difference, e.merchant_id, e.payment_id, e.row_reference
FROM settlement_evidence e
JOIN settlement_evidence_set s ON s.file_id = e.file_id AND s.batch = e.batch AND s.currency = e.currency
WHERE s.provider = $1 AND e.status IN ('mismatched', 'unexplained') AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
ORDER BY e.file_id, e.position
LIMIT $2;

-- file_is_posted: whether every batch of the file $1 is posted; $2: whose record batches are in
SELECT coalesce(bool_and(EXISTS (
    SELECT 1 FROM settled_batch s
    WHERE s.merchant_id = $2 AND s.provider = b.provider AND s.account = b.account AND s.batch = b.batch AND s.currency = b.currency
      AND s.state = 'posted' AND position(b.file_id IN s.files::text) > 0)), false)
FROM settlement_batch b
WHERE b.file_id = $1;

-- differing_rows: rows of the file $1 that do not agree with the record
SELECT e.status || ': ' || e.reason AS cause, e.payment_id, (e.difference + e.fee)::bigint AS amount, e.currency
FROM settlement_evidence e
WHERE e.file_id = $1 AND e.status NOT IN ('matched', 'explained') AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
ORDER BY e.position;

-- merchant_postings_without_row: postings of merchant $1 to $2 that no row of any file has; $3: kinds of settlements
SELECT 'no_row' AS cause, t.stream_id AS payment_id, (CASE WHEN t.debit = $2 THEN -t.amount ELSE t.amount END)::bigint AS amount,
       t.currency
FROM transfer t
WHERE t.merchant_id = $1 AND (t.debit = $2 OR t.credit = $2) AND t.kind <> ALL ($3::text[]) AND NOT EXISTS (
    SELECT 1 FROM covered_posting c
    WHERE c.merchant_id = t.merchant_id AND c.payment_id = t.stream_id AND c.subject_id = t.subject_id
      AND c.subject_version = t.version AND c.leg = t.leg)
ORDER BY t.stream_id;

-- parts_of_payment: how far the payment $2 of the merchant $1 is reconciled: its postings to the account $3, its rows by
-- their newest evidence, and the account at the provider
SELECT 'posting' AS part, t.subject_id, t.version AS subject_version, t.leg::integer AS leg, t.at, t.currency,
       null::text AS status, null::text AS batch, 0::bigint AS fee, 0::bigint AS net, 0::bigint AS covers
FROM transfer t
WHERE t.merchant_id = $1 AND t.stream_id = $2 AND (t.debit = $3 OR t.credit = $3)
UNION ALL
SELECT 'row', e.subject_id, e.subject_version, e.leg, e.compared_at, e.currency, e.status, e.batch, e.fee, e.net, e.covers
FROM settlement_evidence e
WHERE e.merchant_id = $1 AND e.payment_id = $2 AND e.reason <> 'withdrawn' AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
UNION ALL
SELECT 'row', j.subject_id, j.subject_version, j.leg, e.compared_at, e.currency, e.status, e.batch, 0, 0, j.covers
FROM settlement_evidence e
CROSS JOIN json_to_recordset(e.further) AS j (subject_id text, subject_version integer, leg integer, covers bigint)
WHERE e.merchant_id = $1 AND e.payment_id = $2 AND e.further IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
UNION ALL
SELECT 'account', a.account, null, null, now(), '', null, null, 0, 0, 0
FROM attempt a
WHERE a.merchant_id = $1 AND a.payment_id = $2 AND a.operation = 'authorize';

-- waiting_postings: our postings to the account $1 of the provider $2 that no row covers, by account at the provider;
-- what was posted until the time ($4) of an account ($3) is late. $5: kinds of settlements
WITH covered AS (
    SELECT DISTINCT c.merchant_id, c.subject_id, c.subject_version, c.leg
    FROM covered_posting c
    WHERE c.status IN ('matched', 'explained') OR c.covers <> 0
), held AS (
    SELECT DISTINCT a.merchant_id, a.payment_id, a.account FROM attempt a
    WHERE a.provider = $2 AND a.operation = 'authorize'
), late AS (
    SELECT unnest($3::text[]) AS account, unnest($4::timestamptz[]) AS until
)
SELECT h.account, CASE WHEN t.at <= l.until THEN 'overdue' ELSE 'expected' END AS state, t.currency, count(*) AS count,
       sum(CASE WHEN t.debit = $1 THEN t.amount ELSE -t.amount END)::bigint AS amount, min(t.at) AS oldest_at
FROM transfer t
JOIN held h ON h.merchant_id = t.merchant_id AND h.payment_id = t.stream_id
LEFT JOIN late l ON l.account = h.account
LEFT JOIN covered c ON c.merchant_id = t.merchant_id AND c.subject_id = t.subject_id AND c.subject_version = t.version
  AND c.leg = t.leg
WHERE (t.debit = $1 OR t.credit = $1) AND t.kind <> ALL ($5::text[]) AND c.subject_id IS NULL
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- rows_by_state: rows of the provider $1 by what their newest comparison came to, by account at the provider
SELECT s.account, e.status AS state, e.currency, count(*) AS count, sum(e.net)::bigint AS amount,
       min(e.compared_at) AS oldest_at
FROM settlement_evidence e
JOIN settlement_evidence_set s ON s.file_id = e.file_id AND s.batch = e.batch AND s.currency = e.currency
WHERE s.provider = $1 AND e.reason <> 'withdrawn' AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3;

-- newest_evidence: what the row at position $2 of the file $1 came to last, and whose file it is
SELECT f.provider, f.account, f.format, e.file_id, e.position, e.version, e.line, e.gross, e.fee, e.net, e.covers, e.difference,
       e.tolerance, e.fee_expected, e.compared_at, e.subject_version, e.leg, e.fee_schedule_version, e.parser_version,
       e.supersedes, e.batch, e.currency, e.kind, e.row_key, e.status, e.reason, e.stage, e.part, e.merchant_id,
       e.payment_id, e.subject_id, e.attempt_id, e.idempotency_key, e.provider_reference, e.row_reference,
       e.payment_reference, e.fee_unchecked, e.parser, e.actor, e.compared, e.rounding, e.written_off, e.counted_in,
       e.further
FROM settlement_evidence e
JOIN settlement_file f ON f.file_id = e.file_id
WHERE e.file_id = $1 AND e.position = $2
ORDER BY e.version DESC
LIMIT 1;

-- postings_of_subject: the postings of the payment, refund or dispute $1 to the account $2; $3: reasons with which a row
-- takes a posting; the row at position $5 of the file $4 does not count. None where its payment was not sent through the
-- account $8 of the provider $7
SELECT t.merchant_id, t.stream_id AS payment_id, t.subject_id, t.kind AS posted_as, t.version, t.leg, t.currency,
       CASE WHEN t.debit = $2 THEN t.amount ELSE -t.amount END AS amount, EXISTS (
    SELECT 1 FROM covered_posting c
    WHERE c.merchant_id = t.merchant_id AND c.payment_id = t.stream_id AND c.subject_id = t.subject_id
      AND c.subject_version = t.version AND c.leg = t.leg AND c.reason = ANY ($3::text[])
      AND NOT (c.file_id = $4 AND c.position = $5)
) AS taken
FROM transfer t
WHERE t.subject_id = $1 AND (t.debit = $2 OR t.credit = $2) AND t.kind <> ALL ($6::text[]) AND EXISTS (
    SELECT 1 FROM attempt s
    WHERE s.merchant_id = t.merchant_id AND s.payment_id = t.stream_id AND s.operation = 'authorize'
      AND s.provider = $7 AND s.account = $8
)
ORDER BY t.version, t.leg;
