-- tell_circuits: what the process $1 says of each account: provider ($2), account ($3), the state of its circuit ($4), and
-- for how long it has been closed, or not closed, in ms ($5)
INSERT INTO provider_circuit (provider, account, process_id, state, since, told_at)
SELECT k.provider, k.account, $1, k.state, now() - k.for_ms * interval '1 millisecond', now()
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[]) AS k (provider, account, state, for_ms)
ON CONFLICT (provider, account, process_id)
DO UPDATE SET state = excluded.state, since = excluded.since, told_at = excluded.told_at;

-- forget_circuits: what was told longer than $1 ms ago is of a process that is gone
DELETE FROM provider_circuit WHERE told_at < now() - $1::bigint * interval '1 millisecond';

-- leave_circuits: the process $1 ends
DELETE FROM provider_circuit WHERE process_id = $1;

-- circuits: of each account how many processes have told within $1 ms, and in how many its circuit is not closed; since
-- when that is so in the first of them, or else closed in the last one; and how old the oldest of these reports is, in ms
SELECT provider, account, count(*) AS processes,
       count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'half_open') AS half_open,
       coalesce(min(since) FILTER (WHERE state <> 'closed'), max(since)) AS since,
       ceil(extract(epoch FROM now() - min(told_at)) * 1000)::bigint AS age_ms
FROM provider_circuit
WHERE told_at >= now() - $1::bigint * interval '1 millisecond'
GROUP BY provider, account
ORDER BY provider, account;
