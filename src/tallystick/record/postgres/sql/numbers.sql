-- take_watch: lease the watch $1 as $2 for $3 ms, or renew that lease; a row where it is ours ($4: shift in ms)
INSERT INTO watch AS w (name, lease, held_at, lease_until)
VALUES ($1, $2, now() + $4::bigint * interval '1 millisecond', now() + ($3::bigint + $4::bigint) * interval '1 millisecond')
ON CONFLICT (name) DO UPDATE SET lease = excluded.lease, held_at = excluded.held_at, lease_until = excluded.lease_until
WHERE w.lease = excluded.lease OR w.lease_until < excluded.held_at
RETURNING lease;

-- watched_until: who has, or had, the watch $1, and until when
SELECT lease, lease_until FROM watch WHERE name = $1;

-- leave_watch: end the lease $2 of the watch $1, so that the next worker need not wait for it ($3: shift in ms)
WITH k AS MATERIALIZED (SELECT now() + $3::bigint * interval '1 millisecond' AS at)
UPDATE watch w SET lease_until = k.at FROM k WHERE w.name = $1 AND w.lease = $2;

-- add_rates: add to the counts of the minute $3
INSERT INTO rate_count (what, minute, n)
SELECT r.what, $3::timestamptz, r.n FROM unnest($1::text[], $2::bigint[]) AS r (what, n)
ON CONFLICT (what, minute) DO UPDATE SET n = rate_count.n + excluded.n;

-- forget_rates: minutes before $1
DELETE FROM rate_count WHERE minute < $1;

-- rates_between: the sums of the minutes from $1 on and before $2
SELECT what, sum(n)::bigint AS n FROM rate_count WHERE minute >= $1 AND minute < $2 GROUP BY what;

-- newest_rate: the sum of $1 since $2, and its newest minute
SELECT sum(n)::bigint AS n, max(minute) AS minute FROM rate_count WHERE what = $1 AND minute >= $2;

-- releases: points of the record from $1 on at which a release began to work, the newest first: an operator marked it, or a
-- process of another one than before began
SELECT version, process_version, kind, at FROM deployment
WHERE at >= $1 AND (kind = 'release' OR 'release' = ANY (changed))
ORDER BY at DESC, deployment_id
LIMIT $2;

-- unknown_outcomes: attempts whose outcome nobody knows, by currency, of those that recovery asks for (parked false) and
-- those that wait for a person ($1: shift in ms)
SELECT u.currency, u.parked, count(*) AS waiting, sum(u.amount)::bigint AS amount, min(u.opened_at) AS oldest_at,
       max(u.amount) AS largest
FROM (
    SELECT currency, false AS parked, amount, opened_at FROM attempt
    WHERE next_check_at IS NOT NULL
      AND (state = 'unknown'
           OR (state = 'submitted' AND deadline < now() + $1::bigint * interval '1 millisecond'))
    UNION ALL
    SELECT currency, true, amount, opened_at FROM attempt WHERE parked_at IS NOT NULL) AS u
GROUP BY u.currency, u.parked
ORDER BY u.currency, u.parked;

-- refunds_under_way: what refunds that have no outcome keep in flight, by provider and currency
SELECT r.provider, r.currency, count(*) AS waiting, sum(r.amount)::bigint AS amount, min(r.opened_at) AS oldest_at
FROM (
    SELECT provider, currency, amount, opened_at FROM attempt
    WHERE next_check_at IS NOT NULL AND operation = 'refund'
    UNION ALL
    SELECT provider, currency, amount, opened_at FROM attempt WHERE parked_at IS NOT NULL AND operation = 'refund') AS r
GROUP BY r.provider, r.currency
ORDER BY r.provider, r.currency;

-- disputes_open: disputed money that nobody has decided on, by provider and currency
SELECT provider, currency, count(*) AS waiting, sum(amount)::bigint AS amount, min(created_at) AS oldest_at
FROM dispute
WHERE state IN ('opened', 'under_review')
GROUP BY provider, currency
ORDER BY provider, currency;

-- late_money_waiting: late money that nobody has decided on, by provider and currency, since its payment last moved
SELECT provider, currency, count(*) AS waiting,
       sum(amount_late - coalesce(amount_late_accepted, 0) - coalesce(amount_late_returning, 0)
           - coalesce(amount_late_returned, 0))::bigint AS amount,
       min(updated_at) AS oldest_at
FROM payment
WHERE amount_late > 0 AND amount_late > coalesce(amount_late_accepted, 0) + coalesce(amount_late_returning, 0)
      + coalesce(amount_late_returned, 0)
GROUP BY provider, currency
ORDER BY provider, currency;

-- clearing_balances: what clearing accounts hold, over all merchants; read whole
SELECT account, currency, count(*) AS merchants, sum(debits - credits)::bigint AS net,
       sum(abs(debits - credits))::bigint AS gross
FROM balance
WHERE debits <> credits
  AND (account LIKE 'provider:%' OR account LIKE 'authorized:%' OR account LIKE 'refunds_in_flight:%'
       OR account LIKE 'disputes:%' OR account LIKE 'suspense:%')
GROUP BY account, currency
ORDER BY account, currency;

-- cases_waiting: cases that are not resolved, by category; of those that nobody took, how many are older than $1
SELECT category, count(*) AS waiting, min(created_at) AS oldest_at,
       count(*) FILTER (WHERE owner IS NULL AND created_at < $1) AS unassigned
FROM rejected_case WHERE state <> 'resolved'
GROUP BY category ORDER BY category;

-- cases_closed: cases that were resolved from $1 on, by who closed them
SELECT closed_by, count(*) AS cases
FROM rejected_case WHERE state = 'resolved' AND updated_at >= $1
GROUP BY closed_by ORDER BY closed_by;

-- drift_since: how often providers sent what is not read as it was sent, by kind, in the hours from $1 on
SELECT provider, kind, sum(n)::bigint AS count FROM contract_drift WHERE hour >= $1
GROUP BY provider, kind ORDER BY provider, kind;

-- newest_settlement_files: when the newest settlement file of each account was imported
SELECT provider, account, max(imported_at) AS imported_at FROM settlement_file WHERE state = 'imported'
GROUP BY provider, account ORDER BY provider, account;

-- payments_made: payments with ids above $1 and below $2, at most $3, in the order of time
SELECT p.merchant_id, p.payment_id
FROM (SELECT merchant_id FROM merchant UNION SELECT merchant_id FROM balance) AS m
JOIN payment p ON p.merchant_id = m.merchant_id AND p.payment_id > $1 AND p.payment_id < $2
ORDER BY p.payment_id
LIMIT $3;

-- count_complete: add to the counts of minutes
INSERT INTO completeness_count (minute, final, complete)
SELECT c.minute, c.final, c.complete FROM unnest($1::timestamptz[], $2::bigint[], $3::bigint[]) AS c (minute, final, complete)
ON CONFLICT (minute) DO UPDATE SET final = completeness_count.final + excluded.final,
                                   complete = completeness_count.complete + excluded.complete;

-- forget_complete: minutes before $1
DELETE FROM completeness_count WHERE minute < $1;

-- complete_since: the sums of the minutes from $1 on
SELECT coalesce(sum(final), 0)::bigint AS final, coalesce(sum(complete), 0)::bigint AS complete
FROM completeness_count WHERE minute >= $1;

-- examined_until: the newest minute that was examined
SELECT max(minute) FROM completeness_count;

-- words: which changes have what somebody said beside a step of these subjects, and the event that it names, if it names
-- one ($1: merchant, $2: the subjects, $3: what stands between them)
SELECT change_id, evidence ->> 'event_id' AS event_id FROM history
WHERE merchant_id = $1::text AND subject_id = ANY(string_to_array($2::text, $3::text))
  AND evidence IS NOT NULL AND change_id IS NOT NULL;

-- events: the events of providers that were routed to these payments ($1: merchant, $2: the payments, $3: what stands
-- between them)
SELECT payment_id, event_id FROM inbox
WHERE merchant_id = $1::text AND payment_id = ANY(string_to_array($2::text, $3::text));
