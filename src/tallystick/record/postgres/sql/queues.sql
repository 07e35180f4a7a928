-- What processes do by themselves: how much, and row by row, the first that are due first. What waits for people is not
-- read here: there may be much of it, and it has its lists.
-- Of all that are rows: $1: how many. item_id: the row's own id; about: the payment or the stream that it belongs to.

-- under_way: how much of each there is, counted up to $1: where a process is away there may be millions
SELECT 'attempts_to_settle' AS what, count(*) AS waiting
FROM (SELECT 1 FROM attempt WHERE next_check_at IS NOT NULL LIMIT $1) AS w
UNION ALL SELECT 'events_to_process', count(*)
FROM (SELECT 1 FROM inbox WHERE next_try_at IS NOT NULL LIMIT $1) AS w
UNION ALL SELECT 'messages_to_dispatch', count(*)
FROM (SELECT 1 FROM outbox WHERE dispatched_at IS NULL LIMIT $1) AS w
UNION ALL SELECT 'queues_to_send', count(*) FROM (SELECT 1 FROM message_lane LIMIT $1) AS w;

-- asking: attempts that recovery asks about because nobody knows their outcome, by currency ($1: shift in ms)
SELECT currency, count(*) AS waiting, sum(amount)::bigint AS amount, min(opened_at) AS oldest_at FROM attempt
WHERE next_check_at IS NOT NULL
  AND (state = 'unknown' OR (state = 'submitted' AND deadline < now() + $1::bigint * interval '1 millisecond'))
GROUP BY currency ORDER BY currency;

-- attempts_to_settle: attempts that recovery asks the provider about
SELECT attempt_id AS item_id, merchant_id, payment_id AS about, operation || ', ' || state AS says, next_check_at AS due_at,
       amount, currency
FROM attempt WHERE next_check_at IS NOT NULL ORDER BY next_check_at LIMIT $1;

-- deadlines: of payments that wait for something to happen until then
SELECT payment_id AS item_id, merchant_id, payment_id AS about, '' AS says, due_at, NULL::bigint AS amount,
       NULL::text AS currency
FROM deadline ORDER BY due_at LIMIT $1;

-- events_to_process: providers' events, in the fair order in which they are taken
SELECT event_id AS item_id, merchant_id, payment_id AS about, type || ', ' || state AS says, next_try_at AS due_at,
       NULL::bigint AS amount, NULL::text AS currency
FROM inbox WHERE next_try_at IS NOT NULL ORDER BY turn LIMIT $1;

-- messages_to_dispatch: messages whose endpoints are not known yet
SELECT message_id AS item_id, merchant_id, stream_id AS about, type AS says, at AS due_at, NULL::bigint AS amount,
       NULL::text AS currency
FROM outbox WHERE dispatched_at IS NULL ORDER BY at LIMIT $1;

-- queues_to_send: queues of messages, one for each endpoint and stream
SELECT endpoint_id AS item_id, merchant_id, payment_id AS about, '' AS says, next_try_at AS due_at, NULL::bigint AS amount,
       NULL::text AS currency
FROM message_lane ORDER BY next_try_at LIMIT $1;
