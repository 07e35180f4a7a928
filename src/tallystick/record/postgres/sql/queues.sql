-- What processes do by themselves, row by row: the rows behind the numbers of `backlog`, the first that are due first.
-- Of all: $1: how many. item_id: the row's own id; about: the payment or the stream that it belongs to.

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
