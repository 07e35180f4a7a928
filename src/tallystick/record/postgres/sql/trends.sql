-- add_latencies: add to the counts of the minute $4
INSERT INTO latency_count (what, minute, bound_ms, n)
SELECT r.what, $4::timestamptz, r.bound_ms, r.n
FROM unnest($1::text[], $2::int[], $3::bigint[]) AS r (what, bound_ms, n)
ON CONFLICT (what, minute, bound_ms) DO UPDATE SET n = latency_count.n + excluded.n;

-- forget_latencies: minutes before $1
DELETE FROM latency_count WHERE minute < $1;

-- latencies_since: what took how long, over the minutes from $1 on
SELECT what, bound_ms, sum(n)::bigint AS n FROM latency_count WHERE minute >= $1 GROUP BY what, bound_ms;

-- latency_steps: the same of $1 in steps of $3 seconds
SELECT date_bin(make_interval(secs => $3::int), minute, to_timestamp(0)) AS step, bound_ms, sum(n)::bigint AS n
FROM latency_count WHERE what = $1 AND minute >= $2 GROUP BY step, bound_ms ORDER BY step;

-- keep_samples: what waited in the minute $3; the first word of a minute stands
INSERT INTO number_sample (what, minute, value)
SELECT r.what, $3::timestamptz, r.value FROM unnest($1::text[], $2::bigint[]) AS r (what, value)
ON CONFLICT DO NOTHING;

-- forget_samples: minutes before $1
DELETE FROM number_sample WHERE minute < $1;

-- sample_steps: the most that waited of each of $1 in steps of $3 seconds, from $2 on
SELECT what, date_bin(make_interval(secs => $3::int), minute, to_timestamp(0)) AS step, max(value) AS value
FROM number_sample WHERE what = ANY ($1::text[]) AND minute >= $2 GROUP BY what, step ORDER BY what, step;

-- rate_steps: the sums of each of $1 in steps of $3 seconds, from $2 on
SELECT what, date_bin(make_interval(secs => $3::int), minute, to_timestamp(0)) AS step, sum(n)::bigint AS value
FROM rate_count WHERE what = ANY ($1::text[]) AND minute >= $2 GROUP BY what, step ORDER BY what, step;

-- filters: what an operator ($1) keeps for a list
SELECT name, query FROM saved_filter WHERE operator = $1 AND list = $2 ORDER BY name;

-- save_filter: keep one, or replace it
INSERT INTO saved_filter (operator, list, name, query, saved_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (operator, list, name) DO UPDATE SET query = excluded.query, saved_at = excluded.saved_at;

-- forget_filter: delete one
DELETE FROM saved_filter WHERE operator = $1 AND list = $2 AND name = $3;
