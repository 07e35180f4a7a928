-- What waits for a person, in one shape: a page of each list, the oldest first, and how much there is of it.
-- Of all: $1: the merchants that may be seen, null is all; filters from $2 on are null for all: merchant, provider, kind,
-- and the list's own ($5). A page is after ($6, $7), has $8 rows, and
-- of some things alone where $9 names them, and without those that $10 names; those that wait since $11 or longer. Where the
-- owner is in the row, $12 has the owner's names, an empty one is nobody. Totals have the same as $6 to $9,
-- and since when the oldest row waits.

-- dead_letters: dead letters by their arrival; $5: the account
SELECT e.event_id AS item_id, e.merchant_id, e.payment_id, e.provider, e.type AS kind, e.state, e.detail AS says,
       NULL::text AS owner, e.closed_at AS since, e.received_at AS place, NULL::bigint AS amount, NULL::text AS currency,
       e.tries AS tries
FROM inbox e
WHERE e.state = 'dead'
  AND ($1::text[] IS NULL OR e.merchant_id = ANY ($1)) AND ($2::text IS NULL OR e.merchant_id = $2)
  AND ($3::text IS NULL OR e.provider = $3) AND ($4::text IS NULL OR e.type = $4) AND ($5::text IS NULL OR e.account = $5)
  AND (e.received_at, e.event_id) > ($6::timestamptz, $7::text)
  AND ($9::text[] IS NULL OR e.event_id = ANY ($9)) AND ($10::text[] IS NULL OR e.event_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR e.closed_at <= $11)
ORDER BY e.received_at, e.event_id
LIMIT $8;

-- dead_letters_total: how many; their money is that of their payments
SELECT NULL::text AS currency, count(*) AS n, NULL::bigint AS amount, min(e.closed_at) AS oldest
FROM inbox e
WHERE e.state = 'dead'
  AND ($1::text[] IS NULL OR e.merchant_id = ANY ($1)) AND ($2::text IS NULL OR e.merchant_id = $2)
  AND ($3::text IS NULL OR e.provider = $3) AND ($4::text IS NULL OR e.type = $4) AND ($5::text IS NULL OR e.account = $5)
  AND ($6::text[] IS NULL OR e.event_id = ANY ($6)) AND ($7::text[] IS NULL OR e.event_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR e.closed_at <= $8);

-- cases: rejected cases that are not resolved, by their time; $5: the subject's kind
SELECT c.case_id AS item_id, c.merchant_id, CASE WHEN c.from_stream_id LIKE 'pay%' THEN c.from_stream_id END AS payment_id,
       c.provider, c.category AS kind, c.state, c.subject || ': ' || c.event || ' of ' || c.subject_state || '. ' || c.reason AS says,
       c.owner, c.created_at AS since, c.created_at AS place, NULL::bigint AS amount, NULL::text AS currency,
       c.reprocessings AS tries
FROM rejected_case c
WHERE c.state <> 'resolved'
  AND ($1::text[] IS NULL OR c.merchant_id = ANY ($1)) AND ($2::text IS NULL OR c.merchant_id = $2)
  AND ($3::text IS NULL OR c.provider = $3) AND ($4::text IS NULL OR c.category = $4) AND ($5::text IS NULL OR c.subject = $5)
  AND (c.created_at, c.case_id) > ($6::timestamptz, $7::text)
  AND ($9::text[] IS NULL OR c.case_id = ANY ($9)) AND ($10::text[] IS NULL OR c.case_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR c.created_at <= $11) AND ($12::text[] IS NULL OR coalesce(c.owner, '') = ANY ($12))
ORDER BY c.created_at, c.case_id
LIMIT $8;

-- cases_total: how many; their money is that of their payments
SELECT NULL::text AS currency, count(*) AS n, NULL::bigint AS amount, min(c.created_at) AS oldest
FROM rejected_case c
WHERE c.state <> 'resolved'
  AND ($1::text[] IS NULL OR c.merchant_id = ANY ($1)) AND ($2::text IS NULL OR c.merchant_id = $2)
  AND ($3::text IS NULL OR c.provider = $3) AND ($4::text IS NULL OR c.category = $4) AND ($5::text IS NULL OR c.subject = $5)
  AND ($6::text[] IS NULL OR c.case_id = ANY ($6)) AND ($7::text[] IS NULL OR c.case_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR c.created_at <= $8) AND ($9::text[] IS NULL OR coalesce(c.owner, '') = ANY ($9));

-- in_doubt: attempts in doubt, by the time at which recovery gave up; $5: the currency
SELECT a.attempt_id AS item_id, a.merchant_id, a.payment_id, a.provider, a.operation AS kind, a.state,
       coalesce(a.provider_reference, '') || CASE WHEN a.key_taken THEN ' its key was used for another request' ELSE '' END AS says,
       NULL::text AS owner, a.parked_at AS since, a.parked_at AS place, a.amount, a.currency, 0 AS tries
FROM attempt a
WHERE a.parked_at IS NOT NULL
  AND ($1::text[] IS NULL OR a.merchant_id = ANY ($1)) AND ($2::text IS NULL OR a.merchant_id = $2)
  AND ($3::text IS NULL OR a.provider = $3) AND ($4::text IS NULL OR a.operation = $4) AND ($5::text IS NULL OR a.currency = $5)
  AND (a.parked_at, a.attempt_id) > ($6::timestamptz, $7::text)
  AND ($9::text[] IS NULL OR a.attempt_id = ANY ($9)) AND ($10::text[] IS NULL OR a.attempt_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR a.parked_at <= $11)
ORDER BY a.parked_at, a.attempt_id
LIMIT $8;

-- in_doubt_total: how many, and how much in which currency
SELECT a.currency AS currency, count(*) AS n, sum(a.amount)::bigint AS amount, min(a.parked_at) AS oldest
FROM attempt a
WHERE a.parked_at IS NOT NULL
  AND ($1::text[] IS NULL OR a.merchant_id = ANY ($1)) AND ($2::text IS NULL OR a.merchant_id = $2)
  AND ($3::text IS NULL OR a.provider = $3) AND ($4::text IS NULL OR a.operation = $4) AND ($5::text IS NULL OR a.currency = $5)
  AND ($6::text[] IS NULL OR a.attempt_id = ANY ($6)) AND ($7::text[] IS NULL OR a.attempt_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR a.parked_at <= $8)
GROUP BY a.currency ORDER BY a.currency;

-- late_money: payments with late money that nobody has decided on, by id; $5: the currency
SELECT p.payment_id AS item_id, p.merchant_id, p.payment_id, p.provider, p.state AS kind, p.state,
       coalesce(p.provider_reference, '') AS says, NULL::text AS owner, p.updated_at AS since, p.created_at AS place,
       (p.amount_late - coalesce(p.amount_late_accepted, 0) - coalesce(p.amount_late_returning, 0)
        - coalesce(p.amount_late_returned, 0))::bigint AS amount,
       p.currency, 0 AS tries
FROM payment p
WHERE p.amount_late > 0
  AND p.amount_late > coalesce(p.amount_late_accepted, 0) + coalesce(p.amount_late_returning, 0)
      + coalesce(p.amount_late_returned, 0)
  AND ($1::text[] IS NULL OR p.merchant_id = ANY ($1)) AND ($2::text IS NULL OR p.merchant_id = $2)
  AND ($3::text IS NULL OR p.provider = $3) AND ($4::text IS NULL OR p.state = $4) AND ($5::text IS NULL OR p.currency = $5)
  AND p.payment_id > $7::text AND $6::timestamptz IS NOT NULL
  AND ($9::text[] IS NULL OR p.payment_id = ANY ($9)) AND ($10::text[] IS NULL OR p.payment_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR p.updated_at <= $11)
ORDER BY p.payment_id
LIMIT $8;

-- late_money_total: how many, and how much in which currency
SELECT p.currency AS currency, count(*) AS n, sum((p.amount_late - coalesce(p.amount_late_accepted, 0) - coalesce(p.amount_late_returning, 0)
        - coalesce(p.amount_late_returned, 0)))::bigint AS amount, min(p.updated_at) AS oldest
FROM payment p
WHERE p.amount_late > 0
  AND p.amount_late > coalesce(p.amount_late_accepted, 0) + coalesce(p.amount_late_returning, 0)
      + coalesce(p.amount_late_returned, 0)
  AND ($1::text[] IS NULL OR p.merchant_id = ANY ($1)) AND ($2::text IS NULL OR p.merchant_id = $2)
  AND ($3::text IS NULL OR p.provider = $3) AND ($4::text IS NULL OR p.state = $4) AND ($5::text IS NULL OR p.currency = $5)
  AND ($6::text[] IS NULL OR p.payment_id = ANY ($6)) AND ($7::text[] IS NULL OR p.payment_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR p.updated_at <= $8)
GROUP BY p.currency ORDER BY p.currency;

-- settlement_rows: rows of files, and entries of bank statements, whose newest comparison waits for a person, by file and
-- place; $5: the currency. A row moves what it has, and what it took of a posting before; what an entry of a bank lacks of
-- its payout is written off
SELECT e.file_id || '/' || e.position AS item_id, e.merchant_id, e.payment_id, f.provider, e.reason AS kind,
       e.status AS state, e.kind || coalesce(' ' || e.row_reference, '') || ' in ' || f.name AS says, NULL::text AS owner,
       e.compared_at AS since, e.compared_at AS place, e.gross AS amount, e.currency, 0 AS tries,
       greatest(abs(e.gross), abs(e.covers), abs(e.written_off),
                CASE WHEN e.part = 'arrived' AND e.reason = 'amount' THEN abs(e.net - e.covers) ELSE 0 END) AS moves
FROM settlement_evidence e
JOIN settlement_file f ON f.file_id = e.file_id
WHERE e.status IN ('mismatched', 'unexplained')
  AND ($1::text[] IS NULL OR e.merchant_id = ANY ($1)) AND ($2::text IS NULL OR e.merchant_id = $2)
  AND ($3::text IS NULL OR f.provider = $3) AND ($4::text IS NULL OR e.reason = $4) AND ($5::text IS NULL OR e.currency = $5)
  AND (e.file_id, e.position) > (split_part($7::text, '/', 1), coalesce(nullif(split_part($7::text, '/', 2), ''), '0')::integer)
  AND $6::timestamptz IS NOT NULL
  AND ($9::text[] IS NULL OR e.file_id || '/' || e.position = ANY ($9))
  AND ($11::timestamptz IS NULL OR e.compared_at <= $11)
  AND ($10::text[] IS NULL OR e.file_id || '/' || e.position <> ALL ($10)) AND NOT EXISTS (
      SELECT 1 FROM settlement_evidence l
      WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
  )
ORDER BY e.file_id, e.position
LIMIT $8;

-- settlement_rows_total: how many, and how much in which currency
SELECT e.currency AS currency, count(*) AS n, sum(e.gross)::bigint AS amount, min(e.compared_at) AS oldest
FROM settlement_evidence e
JOIN settlement_file f ON f.file_id = e.file_id
WHERE e.status IN ('mismatched', 'unexplained')
  AND ($1::text[] IS NULL OR e.merchant_id = ANY ($1)) AND ($2::text IS NULL OR e.merchant_id = $2)
  AND ($3::text IS NULL OR f.provider = $3) AND ($4::text IS NULL OR e.reason = $4) AND ($5::text IS NULL OR e.currency = $5)
  AND ($6::text[] IS NULL OR e.file_id || '/' || e.position = ANY ($6))
  AND ($8::timestamptz IS NULL OR e.compared_at <= $8)
  AND ($7::text[] IS NULL OR e.file_id || '/' || e.position <> ALL ($7)) AND NOT EXISTS (
      SELECT 1 FROM settlement_evidence l
      WHERE l.file_id = e.file_id AND l.position = e.position AND l.version > e.version
  )
GROUP BY e.currency ORDER BY e.currency;

-- alerts: alerts that are not resolved, by when they opened; they are the platform's and of no merchant or provider; $5: the
-- name. There are as many as conditions and what they are about
SELECT a.alert_id AS item_id, NULL::text AS merchant_id, NULL::text AS payment_id, NULL::text AS provider, a.severity AS kind,
       a.state, a.name || ' (' || a.about || '): ' || a.summary AS says, a.acknowledged_by AS owner,
       a.began_at AS since, a.opened_at AS place, NULL::bigint AS amount, NULL::text AS currency, a.openings AS tries
FROM alert a
WHERE a.merchant_id = 'operators' AND a.state <> 'resolved'
  AND $1::text[] IS NULL AND $2::text IS NULL AND $3::text IS NULL
  AND ($4::text IS NULL OR a.severity = $4) AND ($5::text IS NULL OR a.name = $5)
  AND (a.opened_at, a.alert_id) > ($6::timestamptz, $7::text)
  AND ($9::text[] IS NULL OR a.alert_id = ANY ($9)) AND ($10::text[] IS NULL OR a.alert_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR a.began_at <= $11) AND ($12::text[] IS NULL OR coalesce(a.acknowledged_by, '') = ANY ($12))
ORDER BY a.opened_at, a.alert_id
LIMIT $8;

-- alerts_total: how many
SELECT NULL::text AS currency, count(*) AS n, NULL::bigint AS amount, min(a.began_at) AS oldest
FROM alert a
WHERE a.merchant_id = 'operators' AND a.state <> 'resolved'
  AND $1::text[] IS NULL AND $2::text IS NULL AND $3::text IS NULL
  AND ($4::text IS NULL OR a.severity = $4) AND ($5::text IS NULL OR a.name = $5)
  AND ($6::text[] IS NULL OR a.alert_id = ANY ($6)) AND ($7::text[] IS NULL OR a.alert_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR a.began_at <= $8) AND ($9::text[] IS NULL OR coalesce(a.acknowledged_by, '') = ANY ($9));

-- refused_webhooks: kinds of refused webhooks (an account's, for one reason) of which more was counted than when somebody
-- last closed them, by the first hour of these; they are the platform's. $5: the account. There are as many as
-- configured accounts and reasons, and counts of 30 days
SELECT k.item_id, NULL::text AS merchant_id, NULL::text AS payment_id, k.provider, k.reason AS kind, 'open' AS state,
       'account ' || k.account || ': ' || k.n || ' refused' AS says, NULL::text AS owner, k.since, k.since AS place,
       NULL::bigint AS amount, NULL::text AS currency, k.n AS tries, k.account
FROM (SELECT 'wrf_' || md5(r.provider || chr(31) || r.account || chr(31) || r.reason) AS item_id, r.provider, r.account,
             r.reason, min(r.hour) AS since, sum(r.n - CASE WHEN r.hour = c.hour THEN c.n ELSE 0 END)::bigint AS n
      FROM webhook_refusal r
      LEFT JOIN webhook_refusal_closing c
        ON c.provider = r.provider AND c.account = r.account AND c.reason = r.reason
      WHERE c.hour IS NULL OR r.hour > c.hour OR (r.hour = c.hour AND r.n > c.n)
      GROUP BY r.provider, r.account, r.reason) k
WHERE $1::text[] IS NULL AND $2::text IS NULL
  AND ($3::text IS NULL OR k.provider = $3) AND ($4::text IS NULL OR k.reason = $4) AND ($5::text IS NULL OR k.account = $5)
  AND (k.since, k.item_id) > ($6::timestamptz, $7::text)
  AND ($9::text[] IS NULL OR k.item_id = ANY ($9)) AND ($10::text[] IS NULL OR k.item_id <> ALL ($10))
  AND ($11::timestamptz IS NULL OR k.since <= $11)
ORDER BY k.since, k.item_id
LIMIT $8;

-- refused_webhooks_total: how many kinds
SELECT NULL::text AS currency, count(*) AS n, NULL::bigint AS amount, min(k.since) AS oldest
FROM (SELECT 'wrf_' || md5(r.provider || chr(31) || r.account || chr(31) || r.reason) AS item_id, r.provider, r.account,
             r.reason, min(r.hour) AS since
      FROM webhook_refusal r
      LEFT JOIN webhook_refusal_closing c
        ON c.provider = r.provider AND c.account = r.account AND c.reason = r.reason
      WHERE c.hour IS NULL OR r.hour > c.hour OR (r.hour = c.hour AND r.n > c.n)
      GROUP BY r.provider, r.account, r.reason) k
WHERE $1::text[] IS NULL AND $2::text IS NULL
  AND ($3::text IS NULL OR k.provider = $3) AND ($4::text IS NULL OR k.reason = $4) AND ($5::text IS NULL OR k.account = $5)
  AND ($6::text[] IS NULL OR k.item_id = ANY ($6)) AND ($7::text[] IS NULL OR k.item_id <> ALL ($7))
  AND ($8::timestamptz IS NULL OR k.since <= $8);

-- amounts: what these payments are over, for work that has no amount of its own ($1: merchants, $2: their payments)
SELECT p.payment_id, p.amount, p.currency
FROM (SELECT unnest($1::text[]) AS merchant_id, unnest($2::text[]) AS payment_id) k
JOIN payment p ON p.merchant_id = k.merchant_id AND p.payment_id = k.payment_id;

-- notes: the newest $2 acts on something, notes among them
SELECT act_id, act, operator, reason, at FROM operator_act WHERE target = $1 ORDER BY act_id DESC LIMIT $2;
