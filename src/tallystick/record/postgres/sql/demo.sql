-- unknown_outcomes: attempts of a merchant that history once called unknown, and how many of these have an outcome now
SELECT count(*) AS met, count(*) FILTER (WHERE a.state IN ('approved', 'declined', 'failed')) AS resolved
FROM attempt a
WHERE a.merchant_id = $1 AND EXISTS (
    SELECT 1 FROM transition t
    WHERE t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id AND t.to_state = 'unknown');

-- nothing_open: whether every event is closed, and this many disputes of the run ($1: how its orders begin) are decided
SELECT NOT EXISTS (SELECT 1 FROM inbox WHERE next_try_at IS NOT NULL)
   AND (SELECT count(*) FROM dispute d
        JOIN payment p ON p.merchant_id = d.merchant_id AND p.payment_id = d.payment_id
        WHERE d.state IN ('won', 'lost') AND p.metadata ->> 'order' LIKE $1 || '%') >= $2::bigint;

-- messages: the messages to merchant $1 about the payments of the run ($2: how its orders begin)
SELECT o.message_id
FROM outbox o
JOIN payment p ON p.merchant_id = o.merchant_id AND p.payment_id = o.stream_id
WHERE o.merchant_id = $1 AND p.metadata ->> 'order' LIKE $2 || '%';

-- webhooks: arrived events by their result
SELECT d.received, d.repeated, e.applied, e.no_news, e.conflicts, e.dead_letters
FROM (SELECT count(*) AS received, count(*) FILTER (WHERE result <> 'first') AS repeated FROM delivery) AS d,
     (SELECT count(*) FILTER (WHERE state = 'applied') AS applied,
             count(*) FILTER (WHERE state IN ('duplicate_effect', 'stale')) AS no_news,
             count(*) FILTER (WHERE state = 'conflict') AS conflicts,
             count(*) FILTER (WHERE state = 'dead' OR replays > 0) AS dead_letters
      FROM inbox) AS e;

-- settlement_posted: whether every batch of the file $1 is posted; $2: whose record batches are in
SELECT coalesce(bool_and(EXISTS (
    SELECT 1 FROM settled_batch s
    WHERE s.merchant_id = $2 AND s.provider = b.provider AND s.account = b.account AND s.batch = b.batch AND s.currency = b.currency
      AND s.state = 'posted' AND position(b.file_id IN s.files::text) > 0)), false)
FROM settlement_batch b
WHERE b.file_id = $1;

-- settlement_rows: rows of the file $1 that do not agree with the record
SELECT e.status || ': ' || e.reason AS cause, e.payment_id, (e.difference + e.fee)::bigint AS amount, e.currency
FROM settlement_evidence e
WHERE e.file_id = $1 AND e.status NOT IN ('matched', 'explained')
ORDER BY e.position;

-- settlement_no_rows: postings of merchant $1 to $2 that no row of any file has; $3: kinds of settlements
SELECT 'no_row' AS cause, t.stream_id AS payment_id, (CASE WHEN t.debit = $2 THEN -t.amount ELSE t.amount END)::bigint AS amount,
       t.currency
FROM transfer t
WHERE t.merchant_id = $1 AND (t.debit = $2 OR t.credit = $2) AND t.kind <> ALL ($3::text[]) AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence e
    WHERE e.merchant_id = t.merchant_id AND e.payment_id = t.stream_id AND e.subject_id = t.subject_id
      AND e.subject_version = t.version AND e.leg = t.leg)
ORDER BY t.stream_id;
