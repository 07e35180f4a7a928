-- case: one case by its id alone
SELECT * FROM rejected_case WHERE case_id = $1;

-- waiting_cases: a page of those that are not resolved, the oldest first, after ($1, $2); filters from $3 on are null for all
SELECT * FROM rejected_case
WHERE state <> 'resolved' AND (created_at, case_id) > ($1::timestamptz, $2::text)
  AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR category = $4) AND ($5::text IS NULL OR provider = $5)
  AND ($6::text IS NULL OR merchant_id = $6) AND ($7::text[] IS NULL OR owner = ANY ($7)) AND ($8::text IS NULL OR event = $8)
  AND ($9::text IS NULL OR subject = $9) AND ($10::text IS NULL OR subject_state = $10)
  AND (NOT $11::boolean OR owner IS NULL)
ORDER BY created_at, case_id
LIMIT $12;

-- resolved_cases: a page of those that are resolved, the oldest first, after ($1, $2); filters as above
SELECT * FROM rejected_case
WHERE state = 'resolved' AND (created_at, case_id) > ($1::timestamptz, $2::text)
  AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR category = $4) AND ($5::text IS NULL OR provider = $5)
  AND ($6::text IS NULL OR merchant_id = $6) AND ($7::text[] IS NULL OR owner = ANY ($7)) AND ($8::text IS NULL OR event = $8)
  AND ($9::text IS NULL OR subject = $9) AND ($10::text IS NULL OR subject_state = $10)
  AND (NOT $11::boolean OR owner IS NULL)
ORDER BY created_at, case_id
LIMIT $12;

-- case_groups: those that are not resolved by their cause, the oldest group first ($1: shift in ms)
SELECT category, subject, subject_state, event, tried_by, provider, count(*)::int AS cases,
       (count(*) FILTER (WHERE state = 'open'))::int AS open, (count(*) FILTER (WHERE owner IS NULL))::int AS unassigned,
       min(created_at) AS oldest_at, max(created_at) AS newest_at, min(case_id) AS example_id,
       greatest(0, extract(epoch FROM now() + $1::bigint * interval '1 millisecond' - min(created_at)) * 1000)::bigint
           AS oldest_age_ms
FROM rejected_case
WHERE state <> 'resolved'
GROUP BY category, subject, subject_state, event, tried_by, provider
ORDER BY oldest_at, category, subject, subject_state, event, tried_by, provider;

-- alerting_rejections: the next $4 rejections that alert, after ($1, $2) and since $3
SELECT merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause, actor, origin, reason,
       at, evidence, category
FROM rejection
WHERE alert AND (at, rejection_id) > ($1, $2) AND at >= $3
ORDER BY at, rejection_id
LIMIT $4;

-- known_cases: which of these cases are there
SELECT c.case_id
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS case_id) AS k
JOIN rejected_case c ON c.merchant_id = k.merchant_id AND c.case_id = k.case_id;

-- rejection: one of them
SELECT merchant_id, stream_id, rejection_id, subject_id, subject, state, version, event, cause, actor, origin, reason,
       at, evidence, category
FROM rejection WHERE merchant_id = $1 AND stream_id = $2 AND rejection_id = $3;

-- provider_of_subject: the provider of a payment
SELECT provider FROM payment WHERE merchant_id = $1 AND payment_id = $2;

-- event_to_decide: a closed event, as a worker would lease it
SELECT provider, account, provider_event_id, event_id, type, charge_reference, merchant_id, payment_id, mark,
       traceparent, notice, tries, replays, turn, '' AS lease, api_version
FROM inbox WHERE event_id = $1 AND next_try_at IS NULL;

-- count_results: add to the counts of these hours
INSERT INTO event_result (provider, type, result, hour, n)
SELECT u.provider, u.type, u.result, u.hour, u.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[]) AS u (provider, type, result, hour, n)
ON CONFLICT (provider, type, result, hour) DO UPDATE SET n = event_result.n + excluded.n;

-- forget_results: hours that began more than $1 hours ago ($2: shift in ms)
DELETE FROM event_result
WHERE hour < now() + $2::bigint * interval '1 millisecond' - $1::int * interval '1 hour';

-- results: the counts of the last $1 hours, newest first ($2: shift in ms)
SELECT provider, type, result, hour, n AS count
FROM event_result
WHERE hour > now() + $2::bigint * interval '1 millisecond' - ($1::int + 1) * interval '1 hour'
ORDER BY hour DESC, provider, type, result;
