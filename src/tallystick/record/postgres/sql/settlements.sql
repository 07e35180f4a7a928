-- newest_digest: which file had these bytes last
SELECT generation, file_id FROM settlement_digest
WHERE provider = $1 AND account = $2 AND digest = $3
ORDER BY generation DESC
LIMIT 1;

-- claim_digest: the bytes are this file's, unless another one has them by now
INSERT INTO settlement_digest (provider, account, digest, generation, file_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
RETURNING file_id;

-- insert_file: a file that is about to be imported
INSERT INTO settlement_file (
    file_id, provider, account, digest, name, format, parser_version, purpose, zone, size_bytes, actor, created_at,
    state, rows, known_rows, bad_rows, lines, supplements
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now(), 'importing', 0, 0, 0, 0, false);

-- lease_file: the holder $2 of a lease imports the file $1 for $3 ms more; what is stored of it so far
WITH k AS MATERIALIZED (
    SELECT $1::text AS file_id, now() AS at, now() + $3::bigint * interval '1 millisecond' AS until
)
UPDATE settlement_file f SET lease = $2, lease_until = k.until
FROM k
WHERE f.file_id = k.file_id AND f.state = 'importing'
  AND (f.lease IS NULL OR f.lease = $2 OR f.lease_until < k.at)
RETURNING f.rows, f.bad_rows, f.format, f.parser_version, f.zone, f.read_as;

-- note_rows: so many rows and bad rows are stored, by the holder $2 of the lease, who has it for $6 ms more
WITH k AS MATERIALIZED (
    SELECT $1::text AS file_id, now() + $6::bigint * interval '1 millisecond' AS until
)
UPDATE settlement_file f SET rows = $3, bad_rows = $4, lines = $5, lease_until = k.until
FROM k
WHERE f.file_id = k.file_id AND f.state = 'importing' AND f.lease = $2
RETURNING f.file_id;

-- restart_file: it is read from its start, by another parser or in another way, by the holder $2 of the lease
UPDATE settlement_file SET rows = 0, bad_rows = 0, lines = 0, format = $3, parser_version = $4, zone = $5, read_as = $6
WHERE file_id = $1 AND state = 'importing' AND lease = $2
RETURNING file_id;

-- end_file: what an import came to, by the holder $2 of the lease
WITH k AS MATERIALIZED (SELECT $1::text AS file_id, now() AS at)
UPDATE settlement_file f
SET state = $3, detail = $4, known_rows = $5, rows = f.rows - $5, supplements = $6, imported_at = k.at, lease = NULL,
    lease_until = NULL
FROM k
WHERE f.file_id = k.file_id AND f.state = 'importing' AND f.lease = $2
RETURNING f.file_id;

-- refuse_file: it cannot be read to its end, says the holder $2 of the lease
UPDATE settlement_file SET state = 'refused', detail = $3, rows = 0, bad_rows = 0, lease = NULL, lease_until = NULL
WHERE file_id = $1 AND state = 'importing' AND lease = $2
RETURNING file_id;

-- delete_rows: all rows of a file
DELETE FROM settlement_row WHERE file_id = $1;

-- delete_bad_rows: all rows of a file that could not be read
DELETE FROM settlement_bad_row WHERE file_id = $1;

-- insert_bad_rows: rows that could not be read
INSERT INTO settlement_bad_row (file_id, line, ordinal, reason, detail)
SELECT $1, k.line, k.ordinal, k.reason, k.detail
FROM unnest($2::int[], $3::int[], $4::text[], $5::text[]) AS k (line, ordinal, reason, detail);

-- number_rows: rows of one batch with one key are told apart by their number
WITH doubled AS MATERIALIZED (
    SELECT batch, row_key FROM settlement_row WHERE file_id = $1 GROUP BY batch, row_key HAVING count(*) > 1
), numbered AS MATERIALIZED (
    SELECT r.position, row_number() OVER (PARTITION BY r.batch, r.row_key ORDER BY r.position)::integer AS n
    FROM settlement_row r
    JOIN doubled d ON d.batch = r.batch AND d.row_key = r.row_key
    WHERE r.file_id = $1
)
UPDATE settlement_row r SET occurrence = k.n
FROM numbered k
WHERE r.file_id = $1 AND r.position = k.position AND k.n > 1;

-- parts: what earlier files have of these batches, each batch's newest part last
SELECT provider, account, batch, currency, part, file_id, state, complete, proof, rows, gross, fee, net, paid_out, stated,
       difference, opening, closing, sequence, balance_account, from_on, to_on, detail
FROM settlement_batch
WHERE provider = $1 AND account = $2 AND batch = ANY ($3::text[])
ORDER BY batch, currency, part;

-- hold_files: files that must still be imported ones when this transaction commits
UPDATE settlement_file SET state = state
WHERE file_id = ANY ($1::text[]) AND state = 'imported'
RETURNING file_id;

-- states: the states of files
SELECT file_id, state FROM settlement_file WHERE file_id = ANY ($1::text[]);

-- changed_rows: rows of the file $1 that earlier files have with other money, the first ones
SELECT n.batch, n.line, count(*) OVER () AS n
FROM settlement_row n
JOIN settlement_row e ON e.batch = n.batch AND e.row_key = n.row_key AND e.occurrence = n.occurrence
WHERE n.file_id = $1 AND n.batch = ANY ($2::text[]) AND e.file_id = ANY ($3::text[]) AND (
    e.currency <> n.currency OR e.net <> n.net
    OR abs(e.payer_amount) <> abs(n.payer_amount) OR e.payer_currency <> n.payer_currency
)
ORDER BY n.position
LIMIT 10;

-- gone_rows: rows of earlier files that the file $1 lacks, of the batches that it claims to have whole; not of the kinds $4
SELECT e.batch, count(*) AS n
FROM settlement_row e
WHERE e.file_id = ANY ($3::text[]) AND e.batch = ANY ($2::text[]) AND e.kind <> ALL ($4::text[]) AND NOT EXISTS (
    SELECT 1 FROM settlement_row n
    WHERE n.file_id = $1 AND n.batch = e.batch AND n.row_key = e.row_key AND n.occurrence = e.occurrence
)
GROUP BY e.batch
ORDER BY e.batch;

-- delete_known_rows: rows of the file $1 that earlier files have too
DELETE FROM settlement_row n
USING settlement_row e
WHERE n.file_id = $1 AND n.batch = ANY ($2::text[]) AND e.file_id = ANY ($3::text[])
  AND e.batch = n.batch AND e.row_key = n.row_key AND e.occurrence = n.occurrence;

-- sums: what the file's rows of these batches come to
SELECT batch, currency, count(*) AS rows,
       coalesce(sum(gross) FILTER (WHERE kind <> ALL ($3::text[])), 0) AS gross,
       coalesce(sum(fee) FILTER (WHERE kind <> ALL ($3::text[])), 0) AS fee,
       coalesce(sum(net) FILTER (WHERE kind <> ALL ($3::text[])), 0) AS net,
       coalesce(sum(net) FILTER (WHERE kind = ANY ($3::text[])), 0) AS paid_out
FROM settlement_row
WHERE file_id = $1 AND batch = ANY ($2::text[])
GROUP BY batch, currency;

-- insert_part: one file's part of a batch; another one with its number is a lost race
INSERT INTO settlement_batch (
    provider, account, batch, currency, part, file_id, state, complete, proof, rows, gross, fee, net, paid_out, stated,
    difference, opening, closing, sequence, balance_account, from_on, to_on, detail
) VALUES (
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23
);

-- withdraw_file: an operator takes a file back
WITH k AS MATERIALIZED (SELECT $1::text AS file_id, now() AS at)
UPDATE settlement_file f SET state = 'withdrawn', detail = $2, withdrawn_at = k.at, lease = NULL, lease_until = NULL
FROM k
WHERE f.file_id = k.file_id
  AND (f.state IN ('imported', 'conflict') OR (f.state = 'importing' AND (f.lease IS NULL OR f.lease_until < k.at)))
  AND NOT EXISTS (SELECT 1 FROM settlement_evidence_set s WHERE s.file_id = $1)
RETURNING f.file_id;

-- files: before this id, the newest first; null matches all
SELECT file_id, provider, account, digest, name, format, parser_version, purpose, zone, size_bytes, state, rows, known_rows,
       bad_rows, lines, supplements, actor, detail, created_at, imported_at, withdrawn_at
FROM settlement_file
WHERE ($1::text IS NULL OR file_id < $1) AND ($2::text IS NULL OR provider = $2) AND ($3::text IS NULL OR account = $3)
  AND ($4::text IS NULL OR state = $4)
ORDER BY file_id DESC
LIMIT $5;

-- file: one file
SELECT file_id, provider, account, digest, name, format, parser_version, purpose, zone, size_bytes, state, rows, known_rows,
       bad_rows, lines, supplements, actor, detail, created_at, imported_at, withdrawn_at
FROM settlement_file
WHERE file_id = $1;

-- batches_of_file: the parts that a file has
SELECT provider, account, batch, currency, part, file_id, state, complete, proof, rows, gross, fee, net, paid_out, stated,
       difference, opening, closing, sequence, balance_account, from_on, to_on, detail
FROM settlement_batch
WHERE file_id = $1
ORDER BY batch, currency, part
LIMIT $2;

-- bad_rows_of_file: the first ones
SELECT line, reason, detail FROM settlement_bad_row WHERE file_id = $1 ORDER BY line, ordinal LIMIT $2;

-- rows_of_file: after this place, in the file's order
SELECT position, line, batch, row_key, occurrence, kind, raw_type, currency, gross, fee, net, payer_amount, payer_currency,
       rate, reference, payment_reference, merchant_reference, payout_reference, method, country, occurred_at, booked_at,
       value_on, other_references, fee_parts, text
FROM settlement_row
WHERE file_id = $1 AND position > $2
ORDER BY position
LIMIT $3;
