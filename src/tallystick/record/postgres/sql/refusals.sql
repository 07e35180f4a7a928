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
