-- insert_plain_rows: the evidence of the plain rows of the file $1 in the batches $7 (currencies $8): of those that agree
-- with one posting to $4, at the account $3 of the provider $2, and that no other row of the file can have to do with.
-- $5: kinds of rows that are about payments, $6: what part each one is; $9: reasons with which a row takes a posting;
-- $10: kinds of postings, $11: what kind of row each one is; $12: parser, $13: its version, $14: actor, $15: the time.
-- $16: kinds of rows whose reference is that of their charge; $17: those of which the reference is not the whole name.
-- What was paid is null where something else was moved. A row with a name of its own is no posting with another name, nor
-- one without a name beside others of its kind. Every other row of these batches, of whatever kind, is left to be compared
-- one by one: up to $18 of them come as their places, with what they name in the record
WITH asked AS MATERIALIZED (
    SELECT r.position, r.line, r.batch, r.currency, r.kind, k.part, r.row_key, r.gross, r.fee, r.net, r.reference,
           r.payment_reference, r.merchant_reference,
           CASE WHEN r.payer_amount IS NULL OR r.payer_currency IS NULL THEN r.gross
                WHEN r.payer_currency = r.currency AND r.payer_amount = r.gross THEN r.gross END AS paid,
           CASE WHEN r.occurred_at IS NULL AND r.booked_at IS NULL THEN 'no_date' ELSE 'no_schedule' END AS fee_unchecked,
           r.reference IS NOT NULL AND r.reference IS DISTINCT FROM r.payment_reference AND r.kind <> ALL ($16::text[]) AS is_named
    FROM settlement_row r
    LEFT JOIN (SELECT unnest($5::text[]) AS kind, unnest($6::text[]) AS part) k ON k.kind = r.kind
    WHERE r.file_id = $1 AND EXISTS (
        SELECT 1 FROM (SELECT unnest($7::text[]) AS batch, unnest($8::text[]) AS currency) b
        WHERE b.batch = r.batch AND b.currency = r.currency
    )
), by_name AS (
    SELECT r.position, r.kind, r.paid, r.currency, 1 AS stage, a.merchant_id, a.payment_id,
           coalesce(a.refund_id, a.payment_id) AS subject_id, a.state, a.attempt_id, a.idempotency_key, a.provider_reference,
           CASE WHEN r.is_named AND a.operation = 'capture' THEN r.reference END AS own_name, null::text AS movements
    FROM asked r
    JOIN attempt a ON a.provider_reference = r.reference
    WHERE r.part IS NOT NULL AND a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, r.kind, r.paid, r.currency, 1, f.merchant_id, f.payment_id, f.refund_id, f.state, null, null,
           f.provider_reference, null, null
    FROM asked r
    JOIN refund f ON f.provider_reference = r.reference
    WHERE r.part IS NOT NULL AND f.provider = $2
    UNION ALL
    SELECT r.position, r.kind, r.paid, r.currency, 1, d.merchant_id, d.payment_id, d.dispute_id, d.state, null, null,
           d.provider_reference, null, d.movements::text
    FROM asked r
    JOIN dispute d ON d.provider_reference = r.reference
    WHERE r.part IS NOT NULL AND d.provider = $2
    UNION ALL
    SELECT r.position, r.kind, r.paid, r.currency, 2, a.merchant_id, a.payment_id, coalesce(a.refund_id, a.payment_id), a.state,
           a.attempt_id, a.idempotency_key, a.provider_reference,
           CASE WHEN r.is_named AND a.operation <> 'authorize' THEN r.reference END, null
    FROM (
        SELECT k.position, k.kind, k.paid, k.currency, k.reference, k.merchant_reference, k.is_named
        FROM asked k
        WHERE k.part IS NOT NULL AND k.merchant_reference IS NOT NULL
    ) r
    JOIN attempt a ON a.attempt_id = r.merchant_reference
    WHERE a.provider = $2 AND a.account = $3 AND a.operation <> 'cancel'
    UNION ALL
    SELECT r.position, r.kind, r.paid, r.currency, 3, p.merchant_id, p.payment_id, null, p.state, null, null,
           p.provider_reference, CASE WHEN r.is_named THEN r.reference END, null
    FROM asked r
    JOIN payment p ON p.provider_reference = r.payment_reference
    WHERE r.part IS NOT NULL AND p.provider = $2
), named AS MATERIALIZED (
    SELECT b.* FROM by_name b
    WHERE EXISTS (
        SELECT 1 FROM attempt s
        WHERE s.merchant_id = b.merchant_id AND s.payment_id = b.payment_id AND s.operation = 'authorize'
          AND s.provider = $2 AND s.account = $3
    )
), of_one_payment AS (
    SELECT n.position, min(n.stage) AS stage
    FROM named n
    GROUP BY n.position
    HAVING min(n.payment_id) = max(n.payment_id) AND min(n.merchant_id) = max(n.merchant_id)
), of_one_row AS (
    SELECT min(n.position) AS position
    FROM named n
    GROUP BY n.merchant_id, n.payment_id
    HAVING min(n.position) = max(n.position)
), alike AS MATERIALIZED (
    SELECT o.position, n.stage, n.merchant_id, n.payment_id, coalesce(n.subject_id, t.subject_id, n.payment_id) AS subject_id,
           n.state, n.attempt_id, n.idempotency_key, n.provider_reference, t.version, t.leg,
           CASE WHEN n.own_name IS NULL THEN true ELSE coalesce((
               SELECT m.name = n.own_name FROM posting_name m
               WHERE m.merchant_id = t.merchant_id AND m.subject_id = t.subject_id AND m.version = t.version
           ), (
               SELECT count(*) = 1 FROM transfer o
               WHERE o.merchant_id = t.merchant_id AND o.stream_id = t.stream_id AND o.kind = t.kind
           )) END AS has_its_name, (
        SELECT true FROM settlement_evidence e
        WHERE e.merchant_id = n.merchant_id AND e.payment_id = n.payment_id AND (e.further IS NOT NULL OR (
            e.subject_id = coalesce(n.subject_id, t.subject_id, n.payment_id) AND e.subject_version = t.version
            AND e.leg = t.leg AND e.reason = ANY ($9::text[])
        ))
        LIMIT 1
    ) AS taken
    FROM of_one_payment o
    JOIN of_one_row w ON w.position = o.position
    JOIN named n ON n.position = o.position AND n.stage = o.stage
    JOIN transfer t ON t.merchant_id = n.merchant_id AND t.stream_id = n.payment_id
    JOIN (SELECT unnest($10::text[]) AS posted_as, unnest($11::text[]) AS kind) k ON k.posted_as = t.kind AND k.kind = n.kind
    WHERE (n.subject_id IS NULL OR t.subject_id = n.subject_id) AND (t.debit = $4 OR t.credit = $4)
      AND CASE WHEN t.debit = $4 THEN t.amount ELSE -t.amount END = n.paid AND t.currency = n.currency
      AND n.kind <> ALL ($17::text[])
), single AS (
    SELECT a.position, min(a.attempt_id) AS attempt_id
    FROM alike a
    GROUP BY a.position
    HAVING min(a.subject_id) = max(a.subject_id) AND min(a.version) = max(a.version) AND min(a.leg) = max(a.leg)
       AND bool_or(a.taken) IS NULL AND bool_and(a.has_its_name)
), written AS (
    INSERT INTO settlement_evidence (
        file_id, position, version, line, batch, currency, kind, row_key, gross, fee, net, status, reason, stage, covers,
        difference, part, merchant_id, payment_id, subject_id, subject_version, leg, attempt_id, idempotency_key,
        provider_reference, row_reference, payment_reference, compared, tolerance, fee_unchecked, parser, parser_version,
        actor, compared_at
    )
    SELECT $1, r.position, 1, r.line, r.batch, r.currency, r.kind, r.row_key, r.gross, r.fee, r.net, 'matched', 'same',
           CASE a.stage
               WHEN 1 THEN 'provider_reference' WHEN 2 THEN 'alternative_reference' ELSE 'reference_amount_currency'
           END,
           r.paid, r.net - r.paid, r.part, a.merchant_id, a.payment_id, a.subject_id, a.version, a.leg, a.attempt_id,
           a.idempotency_key, a.provider_reference, r.reference, r.payment_reference,
           concat(
               '{"amount":[', r.paid, ',', r.paid, '],"currency":["', r.currency, '","', r.currency, '"],"fee":[', r.fee,
               ',null],"kind":["', r.kind, '","', r.kind, '"],"reference":[', coalesce(to_json(r.reference), 'null'), ',',
               coalesce(to_json(a.provider_reference), 'null'), '],"state":[null,"', a.state, '"]}'
           )::json,
           0, r.fee_unchecked, $12, $13, $14, $15
    FROM alike a
    JOIN single s ON s.position = a.position
    JOIN asked r ON r.position = a.position
    WHERE a.attempt_id IS NOT DISTINCT FROM s.attempt_id
    RETURNING position, batch, currency, merchant_id, part, gross, fee, net
), others AS MATERIALIZED (
    SELECT r.position FROM asked r WHERE NOT EXISTS (SELECT 1 FROM written w WHERE w.position = r.position) LIMIT $18
)
SELECT w.batch, w.currency, w.merchant_id, w.part, count(*) AS rows, sum(w.gross)::bigint AS gross, sum(w.fee)::bigint AS fee,
       sum(w.net)::bigint AS net, null::integer AS position, null::integer AS stage, null AS payment_id, null AS subject_id,
       null AS state, null AS attempt_id, null AS idempotency_key, null AS provider_reference, null AS own_name,
       null AS movements
FROM written w
GROUP BY w.batch, w.currency, w.merchant_id, w.part
UNION ALL
SELECT null, null, n.merchant_id, null, null, null, null, null, o.position, n.stage, n.payment_id, n.subject_id, n.state,
       n.attempt_id, n.idempotency_key, n.provider_reference, n.own_name, n.movements
FROM others o
LEFT JOIN named n ON n.position = o.position;

-- digested: the text of each row of evidence of the file $1 in the batches $2 (currencies $3, numbered $7), in UTF-8: what
-- ``digest_input`` makes of it. What is alike in all of it comes as that text: $8: the file, $4: each batch, $5: parser and
-- actor, $6: the time
SELECT b.number, e.position, convert_to(concat(
    $8::text, e.position, ',"version":1,"line":', e.line, b.said, e.kind, '","row_key":', to_json(e.row_key),
    ',"gross":', e.gross, ',"fee":', e.fee, ',"net":', e.net, ',"status":"', e.status, '","reason":"', e.reason,
    '","stage":"', e.stage, '","covers":', e.covers, ',"difference":', e.difference, ',"part":"', e.part,
    '","merchant_id":', coalesce(to_json(e.merchant_id), 'null'),
    ',"payment_id":', coalesce('"' || e.payment_id || '"', 'null'),
    ',"subject_id":', coalesce('"' || e.subject_id || '"', 'null'),
    ',"subject_version":', coalesce(e.subject_version::text, 'null'), ',"leg":', coalesce(e.leg::text, 'null'),
    ',"attempt_id":', coalesce('"' || e.attempt_id || '"', 'null'),
    ',"idempotency_key":', coalesce(to_json(e.idempotency_key), 'null'),
    ',"provider_reference":', coalesce(to_json(e.provider_reference), 'null'),
    ',"row_reference":', coalesce(to_json(e.row_reference), 'null'),
    ',"payment_reference":', coalesce(to_json(e.payment_reference), 'null'),
    ',"compared":', e.compared, ',"tolerance":', e.tolerance,
    ',"fee_expected":', coalesce(e.fee_expected::text, 'null'),
    ',"fee_unchecked":', coalesce('"' || e.fee_unchecked || '"', 'null'),
    ',"fee_schedule_version":', coalesce(e.fee_schedule_version::text, 'null'),
    $5::text, ',"compared_at":', $6::text, ',"supersedes":null,"rounding":', e.rounding,
    ',"written_off":', e.written_off, ',"counted_in":null,"further":', coalesce(e.further::text, 'null'), '}'
), 'UTF8') AS said
FROM settlement_evidence e
JOIN (
    SELECT unnest($2::text[]) AS batch, unnest($3::text[]) AS currency, unnest($4::text[]) AS said,
           unnest($7::int[]) AS number
) b ON b.batch = e.batch AND b.currency = e.currency
WHERE e.file_id = $1 AND e.version = 1;
