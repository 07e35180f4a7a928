-- count_refusals: add to the counts of these hours
INSERT INTO webhook_refusal (provider, account, reason, hour, n)
SELECT r.provider, r.account, r.reason, r.hour, r.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
     AS r (provider, account, reason, hour, n)
ON CONFLICT (provider, account, reason, hour) DO UPDATE SET n = webhook_refusal.n + excluded.n;

-- forget_refusals: hours that began more than $1 hours ago ($2: shift in ms)
DELETE FROM webhook_refusal
WHERE hour < now() + $2::bigint * interval '1 millisecond' - $1::int * interval '1 hour';

-- refusals: the counts of the last $1 hours, newest first ($2: shift in ms)
SELECT provider, account, reason, hour, n AS count
FROM webhook_refusal
WHERE hour > now() + $2::bigint * interval '1 millisecond' - ($1::int + 1) * interval '1 hour'
ORDER BY hour DESC, provider, account, reason;

-- refusals_of_kind: the counts of one kind ($1: its id), newest first: as many as hours are kept
SELECT provider, account, reason, hour, n AS count
FROM webhook_refusal
WHERE 'wrf_' || md5(provider || chr(31) || account || chr(31) || reason) = $1
ORDER BY hour DESC;

-- close_refusals: what was counted of a kind ($1 to $3) until the hour $4, and $5 of that hour, needs nobody any more; nothing
-- where as much was closed before
INSERT INTO webhook_refusal_closing AS c (provider, account, reason, hour, n, act_id, closed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (provider, account, reason) DO UPDATE
SET hour = excluded.hour, n = excluded.n, act_id = excluded.act_id, closed_at = excluded.closed_at
WHERE c.hour < excluded.hour OR (c.hour = excluded.hour AND c.n < excluded.n)
RETURNING provider;
