-- insert_events: the first arrival of each event; a known event stays as it is
INSERT INTO inbox (provider, account, provider_event_id, event_id, digest, type, received_at, occurred_at,
                   charge_reference, merchant_id, payment_id, traceparent, notice, state, turn, tries, replays,
                   next_try_at, api_version, mark, raw_key)
SELECT e.provider, e.account, e.provider_event_id, e.event_id, e.digest, e.type, e.received_at, e.occurred_at,
       e.charge_reference, e.merchant_id, e.payment_id, e.traceparent, e.notice::json, 'received', e.turn, 0, 0,
       now() + $18::bigint * interval '1 millisecond', e.api_version, e.mark, e.raw_key
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id,
             unnest($4::text[]) AS event_id, unnest($5::bytea[]) AS digest, unnest($6::text[]) AS type,
             unnest($7::timestamptz[]) AS received_at, unnest($8::timestamptz[]) AS occurred_at,
             unnest($9::text[]) AS charge_reference, unnest($10::text[]) AS merchant_id,
             unnest($11::text[]) AS payment_id, unnest($12::text[]) AS traceparent, unnest($13::text[]) AS notice,
             unnest($14::bigint[]) AS turn, unnest($15::text[]) AS api_version, unnest($16::text[]) AS mark,
             unnest($17::bytea[]) AS raw_key) AS e
ON CONFLICT DO NOTHING;

-- known_events: those of these arrivals that are not the first of their event, whether its bytes are theirs, and under
-- which id it is known, and the key of its bytes; with $6 the others too
SELECT k.event_id, e.event_id = k.event_id AS is_first, e.digest = k.digest AS same_bytes, e.event_id AS known_as,
       e.raw_key, e.erased_by IS NOT NULL AS erased
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id,
             unnest($4::text[]) AS event_id, unnest($5::bytea[]) AS digest) AS k
JOIN inbox e ON e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
WHERE $6::boolean OR e.event_id <> k.event_id;

-- insert_deliveries: every arrival, with its bytes encrypted
INSERT INTO delivery (provider, account, provider_event_id, delivery_id, received_at, validated_at, recorded_at,
                      result, digest, sealed)
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.received_at, d.validated_at, now(), d.result,
       d.digest, d.sealed
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id,
             unnest($4::text[]) AS delivery_id, unnest($5::timestamptz[]) AS received_at,
             unnest($6::timestamptz[]) AS validated_at, unnest($7::text[]) AS result, unnest($8::bytea[]) AS digest,
             unnest($9::bytea[]) AS sealed) AS d;

-- insert_missing_deliveries: the same after a lost connection, which may have committed them
INSERT INTO delivery (provider, account, provider_event_id, delivery_id, received_at, validated_at, recorded_at,
                      result, digest, sealed)
SELECT d.provider, d.account, d.provider_event_id, d.delivery_id, d.received_at, d.validated_at, now(), d.result,
       d.digest, d.sealed
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS provider_event_id,
             unnest($4::text[]) AS delivery_id, unnest($5::timestamptz[]) AS received_at,
             unnest($6::timestamptz[]) AS validated_at, unnest($7::text[]) AS result, unnest($8::bytea[]) AS digest,
             unnest($9::bytea[]) AS sealed) AS d
ON CONFLICT DO NOTHING;

-- due: due events without a lease, of the accounts $4, in the fair order, without those of the fairness keys $3; each
-- with its key: its merchant, or the provider's account where the bytes named none ($2: shift in ms)
SELECT provider, account, provider_event_id, coalesce(merchant_id, provider || '/' || account) AS fairness_key
FROM inbox
WHERE coalesce(merchant_id, provider || '/' || account) <> ALL ($3::text[])
  AND ($4::text[] IS NULL OR provider || '/' || account = ANY ($4::text[]))
  AND next_try_at <= now() + $2::bigint * interval '1 millisecond'
  AND (lease_until IS NULL OR lease_until < now() + $2::bigint * interval '1 millisecond')
ORDER BY turn
LIMIT $1;

-- lease: lease those that are still due, as $4, for $5 ms ($6: shift in ms)
UPDATE inbox e
SET lease = $4, lease_until = now() + ($5::bigint + $6::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.next_try_at <= now() + $6::bigint * interval '1 millisecond'
  AND (e.lease_until IS NULL OR e.lease_until < now() + $6::bigint * interval '1 millisecond')
RETURNING e.provider, e.account, e.provider_event_id, e.event_id, e.type, e.charge_reference, e.merchant_id,
          e.payment_id, e.mark, e.traceparent, e.notice, e.tries, e.replays, e.turn, e.lease, e.api_version;

-- not_taken: events of accounts other than $2 that are due for $3 ms without a lease, and not noted as such ($4: shift
-- in ms)
SELECT provider, account, provider_event_id
FROM inbox
WHERE next_try_at <= now() + ($4::bigint - $3::bigint) * interval '1 millisecond'
  AND (lease_until IS NULL OR lease_until < now() + $4::bigint * interval '1 millisecond')
  AND provider || '/' || account <> ALL ($2::text[])
  AND state <> 'not_ready'
ORDER BY turn
LIMIT $1;

-- not_ready: those that are still open wait for a worker with the settings of their account; no try is spent, and they
-- stay due ($4: shift in ms)
UPDATE inbox e
SET state = 'not_ready', detail = e.provider || '/' || e.account || ' is not configured in the workers that run'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.next_try_at IS NOT NULL
  AND (e.lease_until IS NULL OR e.lease_until < now() + $4::bigint * interval '1 millisecond')
RETURNING e.provider, e.account, e.provider_event_id;

-- put_off: a leased event waits for what is not there now, for $6 ms; no try is spent ($7: shift in ms)
WITH k AS MATERIALIZED (
    SELECT now() + ($6::bigint + $7::bigint) * interval '1 millisecond' AS next_try_at,
           (extract(epoch FROM now()) * 1000)::bigint + $6::bigint AS turn
)
UPDATE inbox e
SET state = 'not_ready', detail = $5, next_try_at = k.next_try_at, turn = k.turn, lease_until = NULL, lease = NULL
FROM k
WHERE e.provider = $1 AND e.account = $2 AND e.provider_event_id = $3 AND e.lease = $4 AND e.next_try_at IS NOT NULL;

-- renew: extend the lease of slow events, for $5 ms more ($6: shift in ms)
UPDATE inbox e SET lease_until = now() + ($5::bigint + $6::bigint) * interval '1 millisecond'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.lease = $4 AND e.next_try_at IS NOT NULL;

-- release: end the lease of events that were not tried
UPDATE inbox e SET lease_until = NULL, lease = NULL
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.lease = $4;

-- routes: the merchants and payments of these charges
SELECT r.provider, r.account, r.reference, r.merchant_id, r.payment_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, reference)
JOIN provider_reference r ON r.provider = k.provider AND r.account = k.account AND r.reference = k.reference;

-- is_foreign_charge: whether an event of this charge is foreign
SELECT EXISTS (
    SELECT 1 FROM inbox e
    WHERE e.provider = $1 AND e.account = $2 AND e.charge_reference = $3 AND e.payment_id IS NULL
      AND e.charge_reference IS NOT NULL AND e.state = 'foreign');

-- arrived: when an event first arrived, on the database's clock
SELECT min(recorded_at) FROM delivery WHERE provider = $1 AND account = $2 AND provider_event_id = $3;

-- unnamed_attempts: whether an open authorization of the account, from before $3, has no reference ($4: shift in ms)
SELECT EXISTS (
    SELECT 1 FROM attempt a
    WHERE a.next_check_at IS NOT NULL AND a.provider = $1 AND a.account = $2 AND a.operation = 'authorize'
      AND a.provider_reference IS NULL
      AND a.opened_at <= $3::timestamptz + $4::bigint * interval '1 millisecond')
    OR EXISTS (
    SELECT 1 FROM attempt a
    WHERE a.parked_at IS NOT NULL AND a.provider = $1 AND a.account = $2 AND a.operation = 'authorize'
      AND a.provider_reference IS NULL
      AND a.opened_at <= $3::timestamptz + $4::bigint * interval '1 millisecond');

-- unrouted: events without a payment that name one of these charges, and are foreign or open
SELECT e.provider, e.account, e.provider_event_id, k.merchant_id, k.payment_id
FROM (SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS reference,
             unnest($4::text[]) AS merchant_id, unnest($5::text[]) AS payment_id) AS k
JOIN inbox e ON e.provider = k.provider AND e.account = k.account AND e.charge_reference = k.reference
WHERE e.payment_id IS NULL AND e.charge_reference IS NOT NULL AND (e.state = 'foreign' OR e.next_try_at IS NOT NULL);

-- take_up: the charge of these events has become known: they are processed from the beginning, whoever has leased them
-- ($6: shift in ms)
WITH k AS MATERIALIZED (
    SELECT w.provider, w.account, w.provider_event_id, w.merchant_id, w.payment_id,
           now() + $6::bigint * interval '1 millisecond' AS next_try_at,
           (extract(epoch FROM now()) * 1000)::bigint AS turn
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
         AS w (provider, account, provider_event_id, merchant_id, payment_id)
)
UPDATE inbox e
SET merchant_id = k.merchant_id, payment_id = k.payment_id, state = 'received', detail = NULL, tries = 0,
    closed_at = NULL, next_try_at = k.next_try_at, turn = k.turn, lease_until = NULL, lease = NULL
FROM k
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.payment_id IS NULL AND (e.state = 'foreign' OR e.next_try_at IS NOT NULL)
RETURNING e.provider, e.account, e.provider_event_id, e.replays;

-- foreign_charges: the charges of events that were filed as foreign in the last $1 ms, after ($2, $3, $4), $5 at most
SELECT DISTINCT provider, account, charge_reference
FROM inbox
WHERE state = 'foreign' AND closed_at > now() - $1::bigint * interval '1 millisecond'
  AND charge_reference IS NOT NULL AND (provider, account, charge_reference) > ($2, $3, $4)
ORDER BY provider, account, charge_reference
LIMIT $5;

-- foreign_counts: foreign events by account and type
SELECT provider, account, type, count(*) AS events, min(received_at) AS first_at, max(received_at) AS last_at
FROM inbox
WHERE state = 'foreign' AND closed_at IS NOT NULL
GROUP BY provider, account, type
ORDER BY provider, account, type;

-- event: one event by our id
SELECT provider, account, provider_event_id, event_id, type, received_at, occurred_at, charge_reference, merchant_id,
       payment_id, traceparent, notice, state, detail, tries, replays, next_try_at, closed_at, api_version
FROM inbox WHERE event_id = $1;

-- deliveries: every arrival of one event, without its bytes
SELECT delivery_id, received_at, validated_at, recorded_at, result
FROM delivery WHERE provider = $1 AND account = $2 AND provider_event_id = $3
ORDER BY recorded_at, delivery_id;

-- sealed: the encrypted bytes of one arrival, with the key of its event
SELECT d.sealed, e.raw_key FROM delivery d
LEFT JOIN inbox e ON e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id
WHERE d.provider = $1 AND d.account = $2 AND d.provider_event_id = $3 AND d.delivery_id = $4;

-- processing: every try at one event, and operators' actions
SELECT try_id, number, started_at, ended_at, result, detail, change_id, actor
FROM processing WHERE provider = $1 AND account = $2 AND provider_event_id = $3
ORDER BY started_at, try_id;

-- persisted: the steps of history that one change wrote
SELECT subject, subject_id, version, from_state, to_state, event, at
FROM history WHERE merchant_id = $1 AND stream_id = $2 AND change_id = $3
ORDER BY subject, subject_id, version;

-- emitted: the messages about versions of a payment
SELECT o.message_id, o.type, o.version, o.at, o.dispatched_at
FROM outbox o
WHERE o.merchant_id = $1 AND o.stream_id = $2 AND o.version = ANY($3::int[])
ORDER BY o.version, o.subject_id;

-- dead: dead letters in the order of their arrival, after ($5, $6); every filter may be null ($8: shift in ms)
SELECT e.provider, e.account, e.provider_event_id, e.event_id, e.type, e.received_at, e.merchant_id, e.payment_id,
       e.detail, e.tries, e.replays, e.closed_at,
       (extract(epoch FROM now() - e.closed_at) * 1000)::bigint + $8::bigint AS dead_for_ms
FROM inbox e
WHERE e.state = 'dead'
  AND ($1::text IS NULL OR e.provider = $1)
  AND ($2::text IS NULL OR e.type = $2)
  AND ($3::text IS NULL OR e.merchant_id = $3)
  AND ($4::timestamptz IS NULL OR e.closed_at <= $4)
  AND ($5::timestamptz IS NULL OR (e.received_at, e.event_id) > ($5, $6::text))
ORDER BY e.received_at, e.event_id
LIMIT $7;

-- reopen: closed events are processed again from the beginning, by the same guards ($5: shift in ms); with $6 only
-- dead ones
UPDATE inbox e
SET state = 'received', detail = NULL, tries = 0, replays = replays + 1, closed_at = NULL,
    next_try_at = now() + $5::bigint * interval '1 millisecond', turn = $4
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.next_try_at IS NULL AND (e.state = 'dead' OR NOT $6::boolean)
RETURNING e.provider, e.account, e.provider_event_id, e.replays;

-- filed: the next $7 events in the order of their keys: those of type $1 in state $2 (of provider $3, which may be null),
-- and the last one
WITH scanned AS (
    SELECT provider, account, provider_event_id, event_id, type, state, received_at, charge_reference, merchant_id,
           payment_id, mark, notice,
           type = $1 AND state = $2 AND ($3::text IS NULL OR provider = $3) AND next_try_at IS NULL AS chosen
    FROM inbox
    WHERE (provider, account, provider_event_id) > ($4, $5, $6)
    ORDER BY provider, account, provider_event_id
    LIMIT $7
), numbered AS (
    SELECT *, row_number() OVER (ORDER BY provider DESC, account DESC, provider_event_id DESC) AS from_the_end
    FROM scanned
)
SELECT provider, account, provider_event_id, event_id, type, state, received_at, charge_reference, merchant_id,
       payment_id, mark, notice, chosen
FROM numbered WHERE chosen OR from_the_end = 1
ORDER BY provider, account, provider_event_id;

-- first_delivery_named: an arrival by its id, where it was the first of its event, which has the same id ($4)
SELECT d.provider_event_id, d.sealed, e.raw_key
FROM inbox e
JOIN delivery d ON d.provider = e.provider AND d.account = e.account AND d.provider_event_id = e.provider_event_id
WHERE e.event_id = $4 AND d.provider = $1 AND d.account = $2 AND d.delivery_id = $3;

-- delivery_named: any arrival by its id; it reads all of the account's
SELECT d.provider_event_id, d.sealed, e.raw_key FROM delivery d
LEFT JOIN inbox e ON e.provider = d.provider AND e.account = d.account AND e.provider_event_id = d.provider_event_id
WHERE d.provider = $1 AND d.account = $2 AND d.delivery_id = $3;

-- read_again: events that are still closed as $11 are processed from the beginning, as what their bytes say now ($13:
-- shift in ms)
UPDATE inbox e
SET state = 'received', detail = NULL, tries = 0, replays = e.replays + 1, closed_at = NULL,
    next_try_at = now() + $13::bigint * interval '1 millisecond', turn = $12, notice = k.notice::json, type = k.type,
    occurred_at = coalesce(e.occurred_at, k.occurred_at), mark = k.mark,
    charge_reference = coalesce(k.charge_reference, e.charge_reference),
    merchant_id = coalesce(k.merchant_id, e.merchant_id), payment_id = coalesce(k.payment_id, e.payment_id)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
            $9::timestamptz[], $10::text[])
     AS k (provider, account, provider_event_id, notice, charge_reference, merchant_id, payment_id, type, occurred_at,
           mark)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.next_try_at IS NULL AND e.state = $11
RETURNING e.provider, e.account, e.provider_event_id, e.replays;

-- translated: a leased event that could not be read, as what its bytes say now; the next round routes it
UPDATE inbox e
SET notice = $5::text::json, charge_reference = $6, merchant_id = $7, payment_id = $8, type = $9, occurred_at = $10,
    mark = $11, lease_until = NULL, lease = NULL
WHERE e.provider = $1 AND e.account = $2 AND e.provider_event_id = $3
  AND e.lease = $4 AND e.next_try_at IS NOT NULL;

-- unreadable_dead_letters: of this hour and one account, $3 at most ($4: shift in ms)
SELECT (SELECT count(*) FROM (
            SELECT 1 FROM inbox e
            WHERE e.state = 'dead' AND e.provider = $1 AND e.account = $2 AND e.type = 'unreadable'
              AND e.closed_at >= date_trunc('hour', now() + $4::bigint * interval '1 millisecond', 'UTC')
            LIMIT $3) AS found) AS dead,
       ceil(extract(epoch FROM date_trunc('hour', now() + $4::bigint * interval '1 millisecond', 'UTC')
                               + interval '1 hour' - (now() + $4::bigint * interval '1 millisecond'))
            * 1000)::bigint AS ends_in_ms;

-- discard: dead letters that are closed permanently
UPDATE inbox e SET state = 'discarded'
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, provider_event_id)
WHERE e.provider = k.provider AND e.account = k.account AND e.provider_event_id = k.provider_event_id
  AND e.state = 'dead'
RETURNING e.provider, e.account, e.provider_event_id, e.replays;

-- record_act: an operator's action, beside the tries
INSERT INTO processing (provider, account, provider_event_id, try_id, number, started_at, ended_at, result, detail,
                        actor)
SELECT k.provider, k.account, k.provider_event_id, k.try_id, k.number, now(), now(), $6, $7, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int[])
     AS k (provider, account, provider_event_id, try_id, number);

-- newest_other_bytes: the event that came again last with other content
SELECT i.event_id FROM (
    SELECT provider, account, provider_event_id, recorded_at FROM delivery
    WHERE result = 'other_bytes' ORDER BY recorded_at DESC LIMIT 1
) d
JOIN inbox i ON i.provider = d.provider AND i.account = d.account AND i.provider_event_id = d.provider_event_id;
