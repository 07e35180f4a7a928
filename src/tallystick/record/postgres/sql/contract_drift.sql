-- count_drift: add to the counts of these hours
INSERT INTO contract_drift (provider, field, kind, hour, n)
SELECT d.provider, d.field, d.kind, d.hour, d.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
     AS d (provider, field, kind, hour, n)
ON CONFLICT (provider, field, kind, hour) DO UPDATE SET n = contract_drift.n + excluded.n;

-- forget_drift: hours that began more than $1 hours ago ($2: shift in ms)
DELETE FROM contract_drift
WHERE hour < now() + $2::bigint * interval '1 millisecond' - $1::int * interval '1 hour';

-- drift: the counts of the last $1 hours, newest first ($2: shift in ms)
SELECT provider, field, kind, hour, n AS count
FROM contract_drift
WHERE hour > now() + $2::bigint * interval '1 millisecond' - ($1::int + 1) * interval '1 hour'
ORDER BY hour DESC, provider, field, kind;
