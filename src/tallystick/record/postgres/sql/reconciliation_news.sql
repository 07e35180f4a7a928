-- told_rows: the rows of the file $1 that the inbox was told of
SELECT position FROM settlement_news WHERE file_id = $1;

-- told_of_these: of the rows at the positions $2 of the files $1, those that the inbox was told of
SELECT n.file_id, n.position
FROM (SELECT unnest($1::text[]) AS file_id, unnest($2::int[]) AS position) k
JOIN settlement_news n ON n.file_id = k.file_id AND n.position = k.position;

-- insert_news: rows of files, and the name of the event that tells of each; a row that is there stays as it is
INSERT INTO settlement_news (file_id, position, provider, account, provider_event_id, told_at)
SELECT k.file_id, k.position, k.provider, k.account, k.provider_event_id, $6::timestamptz
FROM (SELECT unnest($1::text[]) AS file_id, unnest($2::int[]) AS position, unnest($3::text[]) AS provider,
             unnest($4::text[]) AS account, unnest($5::text[]) AS provider_event_id) k
ON CONFLICT DO NOTHING;

-- known_names: which of these events the inbox has, whoever told of them
SELECT i.provider, i.account, i.provider_event_id
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id) k
JOIN inbox i ON i.provider = k.provider AND i.account = k.account AND i.provider_event_id = k.provider_event_id;

-- taken_back: of these events, those that files told of, and all of these files are withdrawn
SELECT n.provider, n.account, n.provider_event_id
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id) k
JOIN settlement_news n ON n.provider = k.provider AND n.account = k.account AND n.provider_event_id = k.provider_event_id
JOIN settlement_file f ON f.file_id = n.file_id
GROUP BY n.provider, n.account, n.provider_event_id
HAVING bool_and(f.state = 'withdrawn');

-- count_tries: the rows of the file $1 whose events are open, and for which it waits less than $2 times by now
UPDATE settlement_news n SET tries = n.tries + 1
WHERE n.file_id = $1 AND n.tries < $2 AND EXISTS (
    SELECT 1 FROM inbox i
    WHERE i.provider = n.provider AND i.account = n.account AND i.provider_event_id = n.provider_event_id
      AND i.next_try_at IS NOT NULL
)
RETURNING n.position;

-- known_charges: of the charges $3 at the account $2 of the provider $1, those that webhooks are routed by, and those of
-- authorizations without an outcome: their payments do not name them yet, or never will
SELECT r.reference AS charge, r.merchant_id, r.payment_id
FROM (SELECT unnest($3::text[]) AS reference) k
JOIN provider_reference r ON r.provider = $1 AND r.account = $2 AND r.reference = k.reference
UNION
SELECT a.provider_reference, a.merchant_id, a.payment_id
FROM attempt a
WHERE a.next_check_at IS NOT NULL AND a.provider = $1 AND a.account = $2 AND a.operation = 'authorize'
  AND a.provider_reference = ANY ($3::text[])
UNION
SELECT a.provider_reference, a.merchant_id, a.payment_id
FROM attempt a
WHERE a.parked_at IS NOT NULL AND a.provider = $1 AND a.account = $2 AND a.operation = 'authorize'
  AND a.provider_reference = ANY ($3::text[]);
