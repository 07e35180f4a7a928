-- count_version_use: add to the counts of these hours
INSERT INTO version_use (merchant_id, key_id, version, hour, n)
SELECT u.merchant_id, u.key_id, u.version, u.hour, u.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[])
     AS u (merchant_id, key_id, version, hour, n)
ON CONFLICT (merchant_id, key_id, version, hour) DO UPDATE SET n = version_use.n + excluded.n;

-- forget_version_use: hours that began more than $1 hours ago ($2: shift in ms)
DELETE FROM version_use
WHERE hour < now() + $2::bigint * interval '1 millisecond' - $1::int * interval '1 hour';

-- version_use: the counts of the last $1 hours, newest first ($2: shift in ms)
SELECT merchant_id, key_id, version, hour, n AS count
FROM version_use
WHERE hour > now() + $2::bigint * interval '1 millisecond' - ($1::int + 1) * interval '1 hour'
ORDER BY hour DESC, merchant_id, key_id, version;

-- count_older_pins: how many keys and webhook endpoints in use are pinned to each other version than $1 ($2: the first)
SELECT 'key' AS kind, coalesce(api_version, $2::text) AS version, count(*) AS count
FROM api_key
WHERE revoked_at IS NULL AND coalesce(api_version, $2::text) <> $1::text
GROUP BY coalesce(api_version, $2::text)
UNION ALL
SELECT 'webhook endpoint', coalesce(api_version, $2::text), count(*)
FROM webhook_endpoint
WHERE state <> 'deleted' AND coalesce(api_version, $2::text) <> $1::text
GROUP BY coalesce(api_version, $2::text);

-- older_pins: keys and webhook endpoints in use that are pinned to another version than $1 ($2: the first version)
SELECT merchant_id, 'key' AS kind, key_id AS id, coalesce(api_version, $2::text) AS version
FROM api_key
WHERE revoked_at IS NULL AND coalesce(api_version, $2::text) <> $1::text
UNION ALL
SELECT merchant_id, 'webhook endpoint', endpoint_id, coalesce(api_version, $2::text)
FROM webhook_endpoint
WHERE state <> 'deleted' AND coalesce(api_version, $2::text) <> $1::text
ORDER BY version, merchant_id, kind, id;
