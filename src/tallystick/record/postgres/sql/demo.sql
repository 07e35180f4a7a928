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
