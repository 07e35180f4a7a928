-- tell_clocks: what the process $1 on the host $2 says of each clock ($3): its own less theirs ($4) and how wrong that may be
-- ($5), in ms, and whether it is beyond the margin ($6)
INSERT INTO process_clock (clock, process_id, host, skew_ms, uncertainty_ms, beyond_margin, told_at)
SELECT k.clock, $1, $2, k.skew_ms, k.uncertainty_ms, k.beyond_margin, now()
FROM unnest($3::text[], $4::bigint[], $5::bigint[], $6::boolean[]) AS k (clock, skew_ms, uncertainty_ms, beyond_margin)
ON CONFLICT (clock, process_id)
DO UPDATE SET skew_ms = excluded.skew_ms, uncertainty_ms = excluded.uncertainty_ms,
              beyond_margin = excluded.beyond_margin, told_at = excluded.told_at;

-- forget_clocks: what was told longer than $1 ms ago is of a process that is gone
DELETE FROM process_clock WHERE told_at < now() - $1::bigint * interval '1 millisecond';

-- leave_clocks: the process $1 ends
DELETE FROM process_clock WHERE process_id = $1;

-- clocks_apart: each clock that is beyond the margin for a process that has told within $1 ms
SELECT clock, host, skew_ms, uncertainty_ms
FROM process_clock
WHERE beyond_margin AND told_at >= now() - $1::bigint * interval '1 millisecond'
ORDER BY clock, host, process_id;
