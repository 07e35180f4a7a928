-- keep_pause: the account $2 of the provider $1 takes no calls for $3 ms more, or for as long as is known already
INSERT INTO provider_pause (provider, account, until)
VALUES ($1, $2, now() + $3::bigint * interval '1 millisecond')
ON CONFLICT (provider, account) DO UPDATE SET until = greatest(provider_pause.until, excluded.until);

-- pauses: what is left of each, in ms
SELECT provider, account, ceil(extract(epoch FROM until - now()) * 1000)::bigint AS left_ms
FROM provider_pause
WHERE until > now();
