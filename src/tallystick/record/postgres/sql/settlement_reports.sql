-- add_report: a report is to be fetched; nothing where it is known
INSERT INTO settlement_report (provider, account, report, url, actor, created_at, state, tries, next_try_at)
VALUES ($1, $2, $3, $4, $5, now(), 'waiting', 0, now())
ON CONFLICT DO NOTHING
RETURNING report;

-- ask_again: a report that was refused is to be fetched all the same
WITH k AS MATERIALIZED (SELECT $1::text AS provider, $2::text AS account, $3::text AS report, now() AS at)
UPDATE settlement_report r
SET state = 'waiting', tries = 0, next_try_at = k.at, lease = NULL, detail = NULL, ended_at = NULL, actor = $5,
    url = coalesce($4, r.url)
FROM k
WHERE r.provider = k.provider AND r.account = k.account AND r.report = k.report AND r.state = 'refused'
RETURNING r.report;

-- due_reports: what can be fetched now of the account $2 of the provider $1, the longest due first
SELECT report FROM settlement_report
WHERE provider = $1 AND account = $2 AND next_try_at <= now()
ORDER BY next_try_at
LIMIT $3;

-- lease_report: the holder $4 of a lease fetches it, for $5 ms
WITH k AS MATERIALIZED (
    SELECT $1::text AS provider, $2::text AS account, $3::text AS report, now() AS at,
           now() + $5::bigint * interval '1 millisecond' AS until
)
UPDATE settlement_report r SET lease = $4, next_try_at = k.until
FROM k
WHERE r.provider = k.provider AND r.account = k.account AND r.report = k.report AND r.next_try_at <= k.at
RETURNING r.provider, r.account, r.report, r.url, r.actor, r.created_at, r.state, r.tries, r.file_id, r.detail;

-- put_off_report: the holder $4 of the lease could not fetch it; again in $5 ms. $7: so many tries it was
WITH k AS MATERIALIZED (
    SELECT $1::text AS provider, $2::text AS account, $3::text AS report, now() + $5::bigint * interval '1 millisecond' AS at
)
UPDATE settlement_report r SET lease = NULL, next_try_at = k.at, detail = $6, tries = $7
FROM k
WHERE r.provider = k.provider AND r.account = k.account AND r.report = k.report AND r.lease = $4 AND r.state = 'waiting'
RETURNING r.report;

-- end_report: what it came to, says the holder $4 of the lease
WITH k AS MATERIALIZED (SELECT $1::text AS provider, $2::text AS account, $3::text AS report, now() AS at)
UPDATE settlement_report r
SET state = $5, file_id = $6, detail = $7, next_try_at = NULL, lease = NULL, ended_at = k.at
FROM k
WHERE r.provider = k.provider AND r.account = k.account AND r.report = k.report AND r.lease = $4 AND r.state = 'waiting'
RETURNING r.report;

-- report: one report
SELECT provider, account, report, url, actor, created_at, state, tries, file_id, detail FROM settlement_report
WHERE provider = $1 AND account = $2 AND report = $3;
