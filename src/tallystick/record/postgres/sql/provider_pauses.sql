-- keep_pause: the account $2 of the provider $1 takes no calls for $3 ms more, or for as long as is known already
INSERT INTO provider_pause (provider, account, until)
VALUES ($1, $2, now() + $3::bigint * interval '1 millisecond')
ON CONFLICT (provider, account) DO UPDATE SET until = greatest(provider_pause.until, excluded.until);

-- pauses: what is left of each, in ms
SELECT provider, account, ceil(extract(epoch FROM until - now()) * 1000)::bigint AS left_ms
FROM provider_pause
WHERE until > now();

-- set_pause: an operator pauses the account $2 of the provider $1, until it is resumed or for $4 ms; or resumes it
INSERT INTO operator_pause (provider, account, paused, until, actor, changed_at)
VALUES ($1, $2, $3, now() + $4::bigint * interval '1 millisecond', $5, now())
ON CONFLICT (provider, account) DO UPDATE
SET paused = excluded.paused, until = excluded.until, actor = excluded.actor, changed_at = excluded.changed_at
RETURNING until;

-- operator_pauses: the accounts that are paused now, by whom, and what is left of it in ms ($1: of one without an end)
SELECT provider, account, actor, changed_at, until,
       coalesce(ceil(extract(epoch FROM until - now()) * 1000)::bigint, $1::bigint) AS left_ms
FROM operator_pause
WHERE paused AND (until IS NULL OR until > now())
ORDER BY provider, account;
