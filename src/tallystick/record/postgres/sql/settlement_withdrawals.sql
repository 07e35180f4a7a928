-- hold_withdrawn: these files stay as they are until this transaction ends: nobody adds to their batches, or lets their
-- payouts arrive
UPDATE settlement_file SET state = state WHERE file_id = ANY ($1::text[]) RETURNING file_id;

-- newer_files: imported files, besides those of $1, with newer parts of their batches
SELECT DISTINCT l.file_id
FROM settlement_batch b
JOIN settlement_batch l ON l.provider = b.provider AND l.account = b.account AND l.batch = b.batch
  AND l.currency = b.currency AND l.part > b.part
JOIN settlement_file f ON f.file_id = l.file_id
WHERE b.file_id = ANY ($1::text[]) AND l.file_id <> ALL ($1::text[]) AND f.state = 'imported'
ORDER BY l.file_id;

-- proved_files: imported files, besides those of $1, with older parts of their batches that are compared, and that no other
-- file's total proves; not those that have a batch which another newer file proves: they stay, and go with that one
SELECT DISTINCT o.file_id
FROM settlement_batch b
JOIN settlement_batch o ON o.provider = b.provider AND o.account = b.account AND o.batch = b.batch
  AND o.currency = b.currency AND o.part < b.part
JOIN settlement_file f ON f.file_id = o.file_id
JOIN settlement_evidence_set s ON s.file_id = o.file_id AND s.batch = o.batch AND s.currency = o.currency
WHERE b.file_id = ANY ($1::text[]) AND o.file_id <> ALL ($1::text[]) AND f.state = 'imported' AND NOT EXISTS (
    SELECT 1 FROM settlement_batch p
    JOIN settlement_file g ON g.file_id = p.file_id
    WHERE p.provider = o.provider AND p.account = o.account AND p.batch = o.batch AND p.currency = o.currency
      AND p.part >= o.part AND p.state = 'balanced' AND p.file_id <> ALL ($1::text[]) AND g.state = 'imported'
) AND NOT EXISTS (
    SELECT 1 FROM settlement_batch m
    JOIN settlement_batch p ON p.provider = m.provider AND p.account = m.account AND p.batch = m.batch
      AND p.currency = m.currency AND p.part > m.part AND p.state = 'balanced'
    JOIN settlement_file g ON g.file_id = p.file_id
    WHERE m.file_id = o.file_id AND p.file_id <> ALL ($1::text[]) AND g.state = 'imported'
)
ORDER BY o.file_id;

-- compared_amounts: what the rows of the files $1 that are compared come to, by currency, whichever way their money goes
SELECT e.currency, count(*) AS rows, count(*) FILTER (WHERE e.stage = 'person') AS by_hand,
       sum(greatest(abs(e.gross), abs(e.net)))::bigint AS amount
FROM settlement_evidence e
WHERE e.file_id = ANY ($1::text[]) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
GROUP BY e.currency
ORDER BY e.currency;

-- arrivals_of: what arrived with entries of bank statements that have a part of a payout of the files $1: of each entry and
-- payout what was not taken back, and the payout's last ordinal
WITH came AS (
    SELECT a.file_id, a.position, a.payout_file_id, a.payout_position, a.provider, a.batch, a.currency,
           sum(a.amount)::bigint AS amount
    FROM bank_arrival a
    WHERE EXISTS (
        SELECT 1 FROM bank_arrival m
        WHERE m.file_id = a.file_id AND m.position = a.position AND m.payout_file_id = ANY ($1::text[])
    )
    GROUP BY a.file_id, a.position, a.payout_file_id, a.payout_position, a.provider, a.batch, a.currency
    HAVING sum(a.amount) <> 0
), newest AS (
    SELECT payout_file_id, payout_position, max(ordinal) AS ordinal FROM bank_arrival
    GROUP BY payout_file_id, payout_position
)
SELECT c.file_id, c.position, c.payout_file_id, c.payout_position, c.provider, c.batch, c.currency, c.amount, n.ordinal
FROM came c
JOIN newest n ON n.payout_file_id = c.payout_file_id AND n.payout_position = c.payout_position
ORDER BY c.file_id, c.position, c.payout_file_id, c.payout_position;

-- withdraw_compared: a file that is compared is taken back; its rows stay, for its evidence is about them
WITH k AS MATERIALIZED (SELECT $1::text AS file_id, now() AS at)
UPDATE settlement_file f SET state = 'withdrawn', detail = $2, withdrawn_at = k.at
FROM k
WHERE f.file_id = k.file_id AND f.state = 'imported'
RETURNING f.file_id;

-- withdraw_news: what the files $1 told of is decided no more by their word. It waits for decisions that are being written
UPDATE settlement_news SET is_withdrawn = true WHERE file_id = ANY ($1::text[]);

-- sums_taken_back: what the newest evidence of the file $1 comes to, taken back: by batch, merchant and part. $2: parts
-- that are merchants'
SELECT e.batch, e.currency, CASE WHEN e.part = ANY ($2::text[]) THEN coalesce(e.merchant_id, '') ELSE '' END AS merchant_id,
       e.part, -count(*) AS rows, -sum(e.gross - e.rounding - e.written_off)::bigint AS gross,
       -sum(CASE WHEN e.kind = 'tax' THEN 0 ELSE e.fee END)::bigint AS fee,
       -sum(CASE WHEN e.kind = 'tax' THEN e.fee ELSE 0 END)::bigint AS tax, -sum(e.rounding)::bigint AS rounding,
       -sum(e.written_off)::bigint AS written_off
FROM settlement_evidence e
WHERE e.file_id = $1 AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

-- insert_withdrawn: the next evidence of every row of the file $1 that has any: its file was withdrawn, and it counts for
-- nothing. $2: the set that it counts in, $3: the actor, $4: the time
INSERT INTO settlement_evidence (
    file_id, position, version, line, batch, currency, kind, row_key, gross, fee, net, status, reason, stage, covers,
    difference, part, merchant_id, payment_id, row_reference, payment_reference, compared, tolerance, parser,
    parser_version, actor, compared_at, supersedes, counted_in
)
SELECT e.file_id, e.position, e.version + 1, e.line, e.batch, e.currency, e.kind, e.row_key, 0, 0, 0, 'explained',
       'withdrawn', 'person', 0, 0, 'unexplained', e.merchant_id, e.payment_id, e.row_reference, e.payment_reference,
       '{}'::json, 0, e.parser, e.parser_version, $3, $4, e.version, $2
FROM settlement_evidence e
WHERE e.file_id = $1 AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
);

-- withdrawn_roots: of each batch, how many rows of the file $1 were withdrawn with the set $2, and the digest of their
-- evidence in the order of the rows. Its text is what ``digest_input`` makes of it; what is alike in all of it comes as
-- that text: $3: the actor, $4: the time
SELECT d.batch, d.currency, count(*) AS rows, encode(sha256(string_agg(d.digest, ''::bytea ORDER BY d.position)), 'hex') AS root
FROM (
    SELECT e.batch, e.currency, e.position, sha256(convert_to(concat(
        '{"file_id":"', e.file_id, '","position":', e.position, ',"version":', e.version, ',"line":', e.line,
        ',"batch":', to_json(e.batch), ',"currency":"', e.currency, '","kind":"', e.kind, '","row_key":', to_json(e.row_key),
        ',"gross":0,"fee":0,"net":0,"status":"explained","reason":"withdrawn","stage":"person","covers":0,"difference":0',
        ',"part":"unexplained","merchant_id":', coalesce(to_json(e.merchant_id)::text, 'null'),
        ',"payment_id":', coalesce('"' || e.payment_id || '"', 'null'),
        ',"subject_id":null,"subject_version":null,"leg":null,"attempt_id":null,"idempotency_key":null',
        ',"provider_reference":null,"row_reference":', coalesce(to_json(e.row_reference)::text, 'null'),
        ',"payment_reference":', coalesce(to_json(e.payment_reference)::text, 'null'),
        ',"compared":{},"tolerance":0,"fee_expected":null,"fee_unchecked":null,"fee_schedule_version":null',
        ',"parser":"', e.parser, '","parser_version":', e.parser_version, ',"actor":', $3::text, ',"compared_at":', $4::text,
        ',"supersedes":', e.supersedes, ',"rounding":0,"written_off":0,"counted_in":"', e.counted_in, '","further":null}'
    ), 'UTF8')) AS digest
    FROM settlement_evidence e
    WHERE e.file_id = $1 AND e.counted_in = $2
    OFFSET 0
) d
GROUP BY d.batch, d.currency
ORDER BY d.batch, d.currency;
