-- head_record: the trees of this record
SELECT record_id, merchant_groups FROM audit_record WHERE name = 'record';

-- begin_record: how many groups merchants are in, unless somebody has fixed it
INSERT INTO audit_record (name, record_id, merchant_groups, created_at) VALUES ('record', $1, $2, $3)
ON CONFLICT DO NOTHING;

-- tree_end: the newest head of a group, without the list of its leaves, which is long
SELECT leaf_group, sequence, size, peaks, document, signature FROM audit_head
WHERE leaf_group = $1 ORDER BY sequence DESC LIMIT 1;

-- add_head: the next head of a group; no row where somebody else added it
INSERT INTO audit_head (leaf_group, sequence, size, peaks, leaves, document, signature, sealed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING sequence;

-- heads: the heads of a group in their order
SELECT leaf_group, sequence, size, peaks, leaves, document, signature, sealed_at FROM audit_head
WHERE leaf_group = $1 AND sequence > $2 ORDER BY sequence LIMIT $3;

-- head_groups: the groups that have heads
SELECT DISTINCT leaf_group FROM audit_head ORDER BY leaf_group;

-- oldest_unsealed: the oldest change of a time that is not sealed (from $1 to before $2)
SELECT min(s.at) AS at
FROM transition s
WHERE s.at >= $1 AND s.at < $2 AND s.lead_version IS NULL
  AND (SELECT l.leaf_key FROM audit_leaf l
       WHERE l.merchant_id = s.merchant_id AND l.kind = 'change'
         AND l.leaf_key = s.subject_id || '/' || s.version::text) IS NULL;

-- checkpoint_after: when the first checkpoint above this number was made
SELECT sealed_at FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT 1;

-- checkpoint_before: the newest head of heads that says it was made before then. Its column says so too, and is not signed
SELECT number, document, signature, sealed_at FROM audit_checkpoint
WHERE pg_catalog.substring(document, '\nsealed_at ([^\n]*)\n') COLLATE "C"
      < pg_catalog.to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
ORDER BY number DESC LIMIT 1;

-- sealing_position: up to when all of these kinds was looked at that was visible then
SELECT at FROM audit_position WHERE name = $1;

-- note_position: everything of these kinds was looked at up to then
INSERT INTO audit_position (name, at) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET at = excluded.at;

-- anchored: up to which checkpoint heads were sent to a place
SELECT checkpoint, CASE WHEN digest_of = checkpoint THEN digest END AS digest FROM audit_anchor WHERE target = $1;

-- note_anchored: heads were sent to a place up to this checkpoint
INSERT INTO audit_anchor (target, checkpoint, at, digest, digest_of) VALUES ($1, $2, $3, $4, $2)
ON CONFLICT (target) DO UPDATE SET checkpoint = excluded.checkpoint, at = excluded.at, digest = excluded.digest,
    digest_of = excluded.digest_of;

-- last_checkpoint: the newest head of heads
SELECT number, document, signature, sealed_at FROM audit_checkpoint ORDER BY number DESC LIMIT 1;

-- checkpoints: heads of heads in their order
SELECT number, document, signature, sealed_at FROM audit_checkpoint WHERE number > $1 ORDER BY number LIMIT $2;

-- add_checkpoint: the next head of heads; no row where somebody else added it
INSERT INTO audit_checkpoint (number, document, signature, sealed_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING
RETURNING number;

-- add_sweep: what a look at everything found
INSERT INTO audit_sweep (sweep_id, at, examined, late) VALUES ($1, $2, $3, $4);

-- last_sweep: when everything was looked at last
SELECT max(at) AS at FROM audit_sweep;

-- first_sweep: when everything was looked at for the first time
SELECT min(at) AS at FROM audit_sweep;

-- unsealed_change: what is visible from $1 to before $3 and not sealed, $2 at most: its time, and its columns as those
-- of steps_of_changes
SELECT s.at AS moment, s.actor, pg_catalog.to_json(s.at)::text, s.cause, s.change::text, s.change_id, s.event, s.evidence::text, s.from_state,
       s.key_kind, s.lead_version, s.merchant_id, pg_catalog.to_json(s.occurred_at)::text, s.payment_id, s.provider_reference,
       s.stream_id, s.subject, s.subject_id, s.to_state, s.version
FROM transition s
WHERE s.at >= $1 AND s.at < $3 AND s.lead_version IS NULL
  AND (SELECT l.leaf_key FROM audit_leaf l
       WHERE l.merchant_id = s.merchant_id AND l.kind = 'change'
         AND l.leaf_key = s.subject_id || '/' || s.version::text) IS NULL
ORDER BY s.at LIMIT $2;

-- all_change: in the order of the key, after $1 and so on: their times, and their columns as those of steps_of_changes
SELECT s.at AS moment, s.actor, pg_catalog.to_json(s.at)::text, s.cause, s.change::text, s.change_id, s.event, s.evidence::text,
       s.from_state, s.key_kind, s.lead_version, s.merchant_id, pg_catalog.to_json(s.occurred_at)::text, s.payment_id, s.provider_reference,
       s.stream_id, s.subject, s.subject_id, s.to_state, s.version
FROM transition s
WHERE (s.merchant_id, s.subject_id, s.version) > ($1::text, $2::text, $3::text::int) AND s.lead_version IS NULL
ORDER BY s.merchant_id, s.subject_id, s.version LIMIT $4;

-- unsealed_instruction: what is visible from $1 to before $3, in no change's leaf and not sealed, $2 at most. Nearly all
-- are in one: a leaf of their own is asked for where they are not
SELECT s.merchant_id AS merchant_id, s.idempotency_key AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS document
FROM instruction s
WHERE s.at >= $1 AND s.at < $3
  AND CASE
      WHEN (SELECT o.version
          FROM attempt a
          JOIN transition o ON o.merchant_id = a.merchant_id AND o.subject_id = a.attempt_id AND o.version = 1
          JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.payment_id
              AND t.version = o.lead_version
          WHERE a.merchant_id = s.merchant_id AND a.payment_id = s.payment_id
            AND a.idempotency_key = s.idempotency_key
            AND t.lead_version IS NULL AND t.at = s.at
          LIMIT 1
      ) IS NOT NULL THEN false
      ELSE (SELECT l.leaf_key FROM audit_leaf l
            WHERE l.merchant_id = s.merchant_id AND l.kind = 'instruction' AND l.leaf_key = s.idempotency_key) IS NULL
  END
ORDER BY s.at LIMIT $2;

-- all_instruction: in the order of the key, after $1 and so on, with where each one is sealed; without its document where it
-- is in a change's leaf
SELECT s.merchant_id AS merchant_id, s.idempotency_key AS leaf_key, s.at AS at,
       CASE WHEN (SELECT t.version
           FROM attempt a
           JOIN transition o ON o.merchant_id = a.merchant_id AND o.subject_id = a.attempt_id AND o.version = 1
           JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.payment_id
               AND t.version = o.lead_version
           WHERE a.merchant_id = s.merchant_id AND a.payment_id = s.payment_id AND a.idempotency_key = s.idempotency_key
             AND t.lead_version IS NULL AND t.at IS NOT DISTINCT FROM s.at
           LIMIT 1
       ) IS NULL THEN pg_catalog.to_json(s)::text END AS document,
       (SELECT ROW(l.leaf_group, l.position, l.salt) FROM audit_leaf l
        WHERE l.merchant_id = s.merchant_id AND l.kind = 'instruction' AND l.leaf_key = s.idempotency_key) AS place,
       s.merchant_id AS place_1, s.idempotency_key AS place_2
FROM instruction s
WHERE (s.merchant_id, s.idempotency_key) > ($1::text, $2::text)
ORDER BY s.merchant_id, s.idempotency_key LIMIT $3;

-- unsealed_response: what is visible from $1 to before $3, in no change's leaf and not sealed, $2 at most. As above
SELECT s.merchant_id AS merchant_id, s.idempotency_key AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS document
FROM response s
WHERE s.at >= $1 AND s.at < $3
  AND CASE
      WHEN (SELECT o.version
          FROM instruction i
          JOIN attempt a ON a.merchant_id = i.merchant_id AND a.payment_id = i.payment_id
              AND a.idempotency_key = i.idempotency_key
          JOIN transition o ON o.merchant_id = a.merchant_id AND o.subject_id = a.attempt_id
              AND o.event IN ('approved', 'declined', 'give_up')
          JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.payment_id
              AND t.version = o.lead_version
          WHERE i.merchant_id = s.merchant_id AND i.idempotency_key = s.idempotency_key
            AND t.lead_version IS NULL AND t.at = s.at
          LIMIT 1
      ) IS NOT NULL THEN false
      ELSE (SELECT l.leaf_key FROM audit_leaf l
            WHERE l.merchant_id = s.merchant_id AND l.kind = 'response' AND l.leaf_key = s.idempotency_key) IS NULL
  END
ORDER BY s.at LIMIT $2;

-- all_response: in the order of the key, after $1 and so on, with where each one is sealed; without its document where it
-- is in a change's leaf
SELECT s.merchant_id AS merchant_id, s.idempotency_key AS leaf_key, s.at AS at,
       CASE WHEN (SELECT t.version
           FROM instruction i
           JOIN attempt a ON a.merchant_id = i.merchant_id AND a.payment_id = i.payment_id
               AND a.idempotency_key = i.idempotency_key
           JOIN transition o ON o.merchant_id = a.merchant_id AND o.subject_id = a.attempt_id
               AND o.event IN ('approved', 'declined', 'give_up')
           JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.payment_id
               AND t.version = o.lead_version
           WHERE i.merchant_id = s.merchant_id AND i.idempotency_key = s.idempotency_key
             AND t.lead_version IS NULL AND t.at IS NOT DISTINCT FROM s.at
           LIMIT 1
       ) IS NULL THEN pg_catalog.to_json(s)::text END AS document,
       (SELECT ROW(l.leaf_group, l.position, l.salt) FROM audit_leaf l
        WHERE l.merchant_id = s.merchant_id AND l.kind = 'response' AND l.leaf_key = s.idempotency_key) AS place,
       s.merchant_id AS place_1, s.idempotency_key AS place_2
FROM response s
WHERE (s.merchant_id, s.idempotency_key) > ($1::text, $2::text)
ORDER BY s.merchant_id, s.idempotency_key LIMIT $3;

-- unsealed_rejection: what is visible from $1 to before $3 and not sealed, $2 at most
SELECT s.merchant_id AS merchant_id, s.stream_id || '/' || s.rejection_id AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS
       document
FROM rejection s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'rejection'
    AND l.leaf_key = s.stream_id || '/' || s.rejection_id
WHERE s.at >= $1 AND s.at < $3 AND l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_rejection: in the order of the key, after $1 and so on, with where each one is sealed
SELECT s.merchant_id AS merchant_id, s.stream_id || '/' || s.rejection_id AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS
       document,
       l.leaf_group, l.position, l.salt, s.merchant_id AS place_1, s.stream_id AS place_2, s.rejection_id AS place_3
FROM rejection s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'rejection'
    AND l.leaf_key = s.stream_id || '/' || s.rejection_id
WHERE (s.merchant_id, s.stream_id, s.rejection_id) > ($1::text, $2::text, $3::text)
ORDER BY s.merchant_id, s.stream_id, s.rejection_id LIMIT $4;

-- unsealed_message_try: what is visible from $1 to before $3 and not sealed, $2 at most
SELECT s.merchant_id AS merchant_id, s.endpoint_id || '/' || s.message_id || '/' || s.try_id AS leaf_key, s.started_at
       AS at, pg_catalog.to_json(s)::text AS document
FROM message_try s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'message_try'
    AND l.leaf_key = s.endpoint_id || '/' || s.message_id || '/' || s.try_id
WHERE s.started_at >= $1 AND s.started_at < $3 AND l.leaf_key IS NULL
ORDER BY s.started_at LIMIT $2;

-- all_message_try: in the order of the key, after $1 and so on, with where each one is sealed
SELECT s.merchant_id AS merchant_id, s.endpoint_id || '/' || s.message_id || '/' || s.try_id AS leaf_key, s.started_at
       AS at, pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt, s.merchant_id AS place_1, s.endpoint_id AS place_2, s.message_id AS place_3,
       s.try_id AS place_4
FROM message_try s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'message_try'
    AND l.leaf_key = s.endpoint_id || '/' || s.message_id || '/' || s.try_id
WHERE (s.merchant_id, s.endpoint_id, s.message_id, s.try_id) > ($1::text, $2::text, $3::text, $4::text)
ORDER BY s.merchant_id, s.endpoint_id, s.message_id, s.try_id LIMIT $5;

-- unsealed_endpoint_act: what is visible from $1 to before $3 and not sealed, $2 at most
SELECT s.merchant_id AS merchant_id, s.endpoint_id || '/' || s.act_id AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS
       document
FROM webhook_endpoint_act s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'endpoint_act'
    AND l.leaf_key = s.endpoint_id || '/' || s.act_id
WHERE s.at >= $1 AND s.at < $3 AND l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_endpoint_act: in the order of the key, after $1 and so on, with where each one is sealed
SELECT s.merchant_id AS merchant_id, s.endpoint_id || '/' || s.act_id AS leaf_key, s.at AS at, pg_catalog.to_json(s)::text AS
       document,
       l.leaf_group, l.position, l.salt, s.merchant_id AS place_1, s.endpoint_id AS place_2, s.act_id AS place_3
FROM webhook_endpoint_act s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'endpoint_act'
    AND l.leaf_key = s.endpoint_id || '/' || s.act_id
WHERE (s.merchant_id, s.endpoint_id, s.act_id) > ($1::text, $2::text, $3::text)
ORDER BY s.merchant_id, s.endpoint_id, s.act_id LIMIT $4;

-- unsealed_delivery: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT provider, account, provider_event_id, delivery_id, received_at, validated_at, recorded_at, result, digest
    FROM delivery WHERE recorded_at >= $1 AND recorded_at < $3
)
SELECT '' AS merchant_id,
       replace(replace(s.provider, '~', '~0'), '/', '~1') || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.delivery_id AS leaf_key,
       s.recorded_at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'delivery'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.delivery_id
WHERE l.leaf_key IS NULL
ORDER BY s.recorded_at LIMIT $2;

-- all_delivery: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT provider, account, provider_event_id, delivery_id, received_at, validated_at, recorded_at, result, digest
    FROM delivery WHERE (provider, account, provider_event_id, delivery_id) > ($1::text, $2::text, $3::text, $4::text)
    ORDER BY provider, account, provider_event_id, delivery_id LIMIT $5
)
SELECT '' AS merchant_id,
       replace(replace(s.provider, '~', '~0'), '/', '~1') || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.delivery_id AS leaf_key,
       s.recorded_at AS at,
       pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt,
       s.provider AS place_1, s.account AS place_2, s.provider_event_id AS place_3, s.delivery_id AS place_4
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'delivery'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.delivery_id
ORDER BY s.provider, s.account, s.provider_event_id, s.delivery_id;

-- unsealed_processing: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM processing WHERE ended_at >= $1 AND ended_at < $3
)
SELECT '' AS merchant_id, replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.try_id AS leaf_key,
       s.ended_at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'processing'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.try_id
WHERE l.leaf_key IS NULL
ORDER BY s.ended_at LIMIT $2;

-- all_processing: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM processing WHERE (provider, account, provider_event_id, try_id) > ($1::text, $2::text, $3::text, $4::text)
    ORDER BY provider, account, provider_event_id, try_id LIMIT $5
)
SELECT '' AS merchant_id, replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.try_id AS leaf_key,
       s.ended_at AS at,
       pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt,
       s.provider AS place_1, s.account AS place_2, s.provider_event_id AS place_3, s.try_id AS place_4
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'processing'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.provider_event_id, '~', '~0'), '/', '~1') || '/' || s.try_id
ORDER BY s.provider, s.account, s.provider_event_id, s.try_id;

-- unsealed_operator_act: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_act WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, replace(replace(s.operator, '~', '~0'), '/', '~1')
       || '/' || s.idempotency_key AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_act'
    AND l.leaf_key = replace(replace(s.operator, '~', '~0'), '/', '~1') || '/' || s.idempotency_key
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_operator_act: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_act WHERE (operator, idempotency_key) > ($1::text, $2::text)
    ORDER BY operator, idempotency_key LIMIT $3
)
SELECT '' AS merchant_id, replace(replace(s.operator, '~', '~0'), '/', '~1')
       || '/' || s.idempotency_key AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt,
       s.operator AS place_1, s.idempotency_key AS place_2
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_act'
    AND l.leaf_key = replace(replace(s.operator, '~', '~0'), '/', '~1') || '/' || s.idempotency_key
ORDER BY s.operator, s.idempotency_key;

-- unsealed_deployment: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM deployment WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, s.deployment_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'deployment'
    AND l.leaf_key = s.deployment_id
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_deployment: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM deployment WHERE deployment_id > $1::text
    ORDER BY deployment_id LIMIT $2
)
SELECT '' AS merchant_id, s.deployment_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.deployment_id AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'deployment'
    AND l.leaf_key = s.deployment_id
ORDER BY s.deployment_id;

-- unsealed_sealing_key_act: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM sealing_key_act WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'sealing_key_act'
    AND l.leaf_key = s.number::text
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_sealing_key_act: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM sealing_key_act WHERE number > $1::text::int
    ORDER BY number LIMIT $2
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.number::text AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'sealing_key_act'
    AND l.leaf_key = s.number::text
ORDER BY s.number;

-- unsealed_operator_version: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_version WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, replace(replace(s.operator_id, '~', '~0'), '/', '~1')
       || '/' || s.version::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_version'
    AND l.leaf_key = replace(replace(s.operator_id, '~', '~0'), '/', '~1')
       || '/' || s.version::text
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_operator_version: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_version WHERE (operator_id, version) > ($1::text, $2::text::int)
    ORDER BY operator_id, version LIMIT $3
)
SELECT '' AS merchant_id, replace(replace(s.operator_id, '~', '~0'), '/', '~1')
       || '/' || s.version::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.operator_id AS place_1,
       s.version::text AS place_2
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_version'
    AND l.leaf_key = replace(replace(s.operator_id, '~', '~0'), '/', '~1')
       || '/' || s.version::text
ORDER BY s.operator_id, s.version;

-- unsealed_operator_bootstrap: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_bootstrap WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, s.place::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_bootstrap'
    AND l.leaf_key = s.place::text
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_operator_bootstrap: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM operator_bootstrap WHERE place > $1::text::int
    ORDER BY place LIMIT $2
)
SELECT '' AS merchant_id, s.place::text AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.place::text AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'operator_bootstrap'
    AND l.leaf_key = s.place::text
ORDER BY s.place;

-- unsealed_approval_request: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_request WHERE requested_at >= $1 AND requested_at < $3
)
SELECT '' AS merchant_id, s.request_id AS leaf_key, s.requested_at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_request'
    AND l.leaf_key = s.request_id
WHERE l.leaf_key IS NULL
ORDER BY s.requested_at LIMIT $2;

-- all_approval_request: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_request WHERE request_id > $1::text
    ORDER BY request_id LIMIT $2
)
SELECT '' AS merchant_id, s.request_id AS leaf_key, s.requested_at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.request_id AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_request'
    AND l.leaf_key = s.request_id
ORDER BY s.request_id;

-- unsealed_approval_decision: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_decision WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, replace(replace(s.request_id, '~', '~0'), '/', '~1')
       || '/' || s.decided_by AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_decision'
    AND l.leaf_key = replace(replace(s.request_id, '~', '~0'), '/', '~1')
       || '/' || s.decided_by
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_approval_decision: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_decision WHERE (request_id, decided_by) > ($1::text, $2::text)
    ORDER BY request_id, decided_by LIMIT $3
)
SELECT '' AS merchant_id, replace(replace(s.request_id, '~', '~0'), '/', '~1')
       || '/' || s.decided_by AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.request_id AS place_1,
       s.decided_by AS place_2
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_decision'
    AND l.leaf_key = replace(replace(s.request_id, '~', '~0'), '/', '~1')
       || '/' || s.decided_by
ORDER BY s.request_id, s.decided_by;

-- unsealed_approval_outcome: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_outcome WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, s.request_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_outcome'
    AND l.leaf_key = s.request_id
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_approval_outcome: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM approval_outcome WHERE request_id > $1::text
    ORDER BY request_id LIMIT $2
)
SELECT '' AS merchant_id, s.request_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.request_id AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'approval_outcome'
    AND l.leaf_key = s.request_id
ORDER BY s.request_id;

-- unsealed_fee_schedule: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM fee_schedule WHERE created_at >= $1 AND created_at < $3
)
SELECT '' AS merchant_id, replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || s.version::text AS leaf_key, s.created_at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'fee_schedule'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || s.version::text
WHERE l.leaf_key IS NULL
ORDER BY s.created_at LIMIT $2;

-- all_fee_schedule: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM fee_schedule WHERE (provider, account, version) > ($1::text, $2::text, $3::text::int)
    ORDER BY provider, account, version LIMIT $4
)
SELECT '' AS merchant_id, replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || s.version::text AS leaf_key, s.created_at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.provider AS place_1, s.account AS place_2,
       s.version::text AS place_3
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'fee_schedule'
    AND l.leaf_key = replace(replace(s.provider, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.account, '~', '~0'), '/', '~1')
       || '/' || s.version::text
ORDER BY s.provider, s.account, s.version;

-- unsealed_settlement_evidence_set: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM settlement_evidence_set WHERE created_at >= $1 AND created_at < $3
)
SELECT '' AS merchant_id, replace(replace(s.file_id, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.batch, '~', '~0'), '/', '~1')
       || '/' || s.currency AS leaf_key, s.created_at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'settlement_evidence_set'
    AND l.leaf_key = replace(replace(s.file_id, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.batch, '~', '~0'), '/', '~1')
       || '/' || s.currency
WHERE l.leaf_key IS NULL
ORDER BY s.created_at LIMIT $2;

-- all_settlement_evidence_set: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM settlement_evidence_set WHERE (file_id, batch, currency) > ($1::text, $2::text, $3::text)
    ORDER BY file_id, batch, currency LIMIT $4
)
SELECT '' AS merchant_id, replace(replace(s.file_id, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.batch, '~', '~0'), '/', '~1')
       || '/' || s.currency AS leaf_key, s.created_at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.file_id AS place_1, s.batch AS place_2,
       s.currency AS place_3
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'settlement_evidence_set'
    AND l.leaf_key = replace(replace(s.file_id, '~', '~0'), '/', '~1')
       || '/' || replace(replace(s.batch, '~', '~0'), '/', '~1')
       || '/' || s.currency
ORDER BY s.file_id, s.batch, s.currency;

-- unsealed_api_key_act: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM api_key_act WHERE at >= $1 AND at < $3
)
SELECT s.merchant_id AS merchant_id, replace(replace(s.key_id, '~', '~0'), '/', '~1') || '/' || s.number::text AS leaf_key,
       s.at AS at, pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'api_key_act'
    AND l.leaf_key = replace(replace(s.key_id, '~', '~0'), '/', '~1') || '/' || s.number::text
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_api_key_act: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM api_key_act WHERE (merchant_id, key_id, number) > ($1::text, $2::text, $3::text::int)
    ORDER BY merchant_id, key_id, number LIMIT $4
)
SELECT s.merchant_id AS merchant_id, replace(replace(s.key_id, '~', '~0'), '/', '~1') || '/' || s.number::text AS leaf_key,
       s.at AS at, pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt, s.merchant_id AS place_1, s.key_id AS place_2, s.number::text AS place_3
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = s.merchant_id AND l.kind = 'api_key_act'
    AND l.leaf_key = replace(replace(s.key_id, '~', '~0'), '/', '~1') || '/' || s.number::text
ORDER BY s.merchant_id, s.key_id, s.number;

-- unsealed_restore: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_restore WHERE declared_at >= $1 AND declared_at < $3
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.declared_at AS at, pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'restore'
    AND l.leaf_key = s.number::text
WHERE l.leaf_key IS NULL
ORDER BY s.declared_at LIMIT $2;

-- all_restore: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_restore WHERE number > $1::text::bigint
    ORDER BY number LIMIT $2
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.declared_at AS at, pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt, s.number::text AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'restore'
    AND l.leaf_key = s.number::text
ORDER BY s.number;

-- unsealed_key_rotation: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_key_rotation WHERE rotated_at >= $1 AND rotated_at < $3
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.rotated_at AS at, pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'key_rotation'
    AND l.leaf_key = s.number::text
WHERE l.leaf_key IS NULL
ORDER BY s.rotated_at LIMIT $2;

-- all_key_rotation: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_key_rotation WHERE number > $1::text::bigint
    ORDER BY number LIMIT $2
)
SELECT '' AS merchant_id, s.number::text AS leaf_key, s.rotated_at AS at, pg_catalog.to_json(s)::text AS document,
       l.leaf_group, l.position, l.salt, s.number::text AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'key_rotation'
    AND l.leaf_key = s.number::text
ORDER BY s.number;

-- unsealed_sweep: what is visible from $1 to before $3 and not sealed, $2 at most
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_sweep WHERE at >= $1 AND at < $3
)
SELECT '' AS merchant_id, s.sweep_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'sweep'
    AND l.leaf_key = s.sweep_id
WHERE l.leaf_key IS NULL
ORDER BY s.at LIMIT $2;

-- all_sweep: in the order of the key, after $1 and so on, with where each one is sealed
WITH s AS MATERIALIZED (
    SELECT *
    FROM audit_sweep WHERE sweep_id > $1::text
    ORDER BY sweep_id LIMIT $2
)
SELECT '' AS merchant_id, s.sweep_id AS leaf_key, s.at AS at,
       pg_catalog.to_json(s)::text AS document, l.leaf_group, l.position, l.salt, s.sweep_id AS place_1
FROM s
LEFT JOIN audit_leaf l ON l.merchant_id = '' AND l.kind = 'sweep'
    AND l.leaf_key = s.sweep_id
ORDER BY s.sweep_id;

-- places_of_changes: where changes are sealed whose subjects are from $2 to $3 ($1: merchants), each an interval
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) || '/' AS begins,
           pg_catalog.unnest($3::text[]) || '/~' AS ends
)
SELECT l.merchant_id, l.leaf_key, l.leaf_group, l.position, l.salt
FROM k
JOIN audit_leaf l ON l.merchant_id = k.merchant_id AND l.kind = 'change' AND l.leaf_key >= k.begins
    AND l.leaf_key <= k.ends;

-- places_by_key: where these changes are sealed ($1: merchants, $2: keys of leaves)
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) AS leaf_key
)
SELECT l.merchant_id, l.leaf_key, l.leaf_group, l.position, l.salt
FROM k
JOIN audit_leaf l ON l.merchant_id = k.merchant_id AND l.kind = 'change' AND l.leaf_key = k.leaf_key;

-- steps_of_changes: steps that changes of subjects from $2 to $3 lead ($1: merchants): the subject, the key of the
-- attempt that the step is one of, whether it is a step that closes an attempt, and the step's columns in the order of
-- encoding 2, times and JSON as they are printed
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) AS begins,
           pg_catalog.unnest($3::text[]) AS ends
), subjects AS MATERIALIZED (
    SELECT a.merchant_id, a.payment_id AS lead_id, a.attempt_id AS subject_id, a.idempotency_key
    FROM k JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id >= k.begins AND a.payment_id <= k.ends
    UNION ALL
    SELECT r.merchant_id, r.payment_id, r.refund_id, NULL
    FROM k JOIN refund r ON r.merchant_id = k.merchant_id AND r.payment_id >= k.begins AND r.payment_id <= k.ends
    UNION ALL
    SELECT d.merchant_id, d.payment_id, d.dispute_id, NULL
    FROM k JOIN dispute d ON d.merchant_id = k.merchant_id AND d.payment_id >= k.begins AND d.payment_id <= k.ends
)
SELECT n.lead_id, n.idempotency_key, t.event IN ('approved', 'declined', 'give_up') AS answers,
       t.actor, pg_catalog.to_json(t.at)::text, t.cause, t.change::text, t.change_id, t.event, t.evidence::text, t.from_state,
       t.key_kind, t.lead_version, t.merchant_id, pg_catalog.to_json(t.occurred_at)::text, t.payment_id, t.provider_reference,
       t.stream_id, t.subject, t.subject_id, t.to_state, t.version
FROM subjects n
JOIN transition t ON t.merchant_id = n.merchant_id AND t.subject_id = n.subject_id
WHERE t.lead_version IS NOT NULL
UNION ALL
SELECT t.subject_id, NULL, false,
       t.actor, pg_catalog.to_json(t.at)::text, t.cause, t.change::text, t.change_id, t.event, t.evidence::text, t.from_state,
       t.key_kind, t.lead_version, t.merchant_id, pg_catalog.to_json(t.occurred_at)::text, t.payment_id, t.provider_reference,
       t.stream_id, t.subject, t.subject_id, t.to_state, t.version
FROM k
JOIN transition t ON t.merchant_id = k.merchant_id AND t.subject_id >= k.begins AND t.subject_id <= k.ends
WHERE t.lead_version IS NOT NULL AND coalesce(t.stream_id, t.subject_id) = t.subject_id;

-- postings_of_changes: postings of the streams from $2 to $3 ($1: merchants), their columns as above
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) AS begins,
           pg_catalog.unnest($3::text[]) AS ends
)
SELECT x.amount, pg_catalog.to_json(x.at)::text, x.credit, x.currency, x.debit, x.kind, x.leg, x.merchant_id, x.payment_id,
       x.stream_id, x.subject_id, x.version
FROM k
JOIN transfer x ON x.merchant_id = k.merchant_id AND x.stream_id >= k.begins AND x.stream_id <= k.ends;

-- messages_of_changes: messages of the streams from $2 to $3 ($1: merchants), their columns as above
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) AS begins,
           pg_catalog.unnest($3::text[]) AS ends
)
SELECT o.answer_key, o.api_version, pg_catalog.to_json(o.at)::text, o.body, o.key_kind, o.merchant_id, o.message_id, o.payment_id,
       o.stream_id, o.subject_id, o.traceparent, o.type, o.version
FROM k
JOIN outbox o ON o.merchant_id = k.merchant_id AND o.stream_id >= k.begins AND o.stream_id <= k.ends;

-- answers_of_changes: the instructions of these keys about these payments, and the answers to them ($1: merchants, $2:
-- payments, $3: keys): which one, and their columns as above
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS merchant_id, pg_catalog.unnest($2::text[]) AS lead_id,
           pg_catalog.unnest($3::text[]) AS idempotency_key
)
SELECT pg_catalog.to_json(i.at)::text, i.fingerprint, i.fingerprint_version, i.idempotency_key, i.instruction_id, i.merchant_id,
       i.operation, i.path, i.payment_id, i.request, i.subject_id, i.traceparent,
       r.api_version, pg_catalog.to_json(r.at)::text, r.body, r.idempotency_key, r.merchant_id, r.status
FROM k
JOIN instruction i ON i.merchant_id = k.merchant_id AND i.idempotency_key = k.idempotency_key
LEFT JOIN response r ON r.merchant_id = k.merchant_id AND r.idempotency_key = k.idempotency_key
WHERE i.payment_id = k.lead_id;

-- rows_of_changes: how many rows there are of what changes are made of. A step that names itself as its stream is among
-- others
SELECT (SELECT count(*) FROM transition) AS transition,
       (SELECT count(*) FROM transition WHERE stream_id = subject_id) AS own_streams,
       (SELECT count(*) FROM transfer) AS transfer,
       (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM instruction) AS instruction,
       (SELECT count(*) FROM response) AS response;

-- rows_of_kinds: how many rows there are of each kind of thing that is no part of changes
SELECT 'rejection' AS kind, count(*) AS there FROM rejection
UNION ALL SELECT 'message_try', count(*) FROM message_try
UNION ALL SELECT 'endpoint_act', count(*) FROM webhook_endpoint_act
UNION ALL SELECT 'delivery', count(*) FROM delivery
UNION ALL SELECT 'processing', count(*) FROM processing
UNION ALL SELECT 'operator_act', count(*) FROM operator_act
UNION ALL SELECT 'deployment', count(*) FROM deployment
UNION ALL SELECT 'sealing_key_act', count(*) FROM sealing_key_act
UNION ALL SELECT 'operator_version', count(*) FROM operator_version
UNION ALL SELECT 'operator_bootstrap', count(*) FROM operator_bootstrap
UNION ALL SELECT 'api_key_act', count(*) FROM api_key_act
UNION ALL SELECT 'restore', count(*) FROM audit_restore
UNION ALL SELECT 'key_rotation', count(*) FROM audit_key_rotation
UNION ALL SELECT 'approval_request', count(*) FROM approval_request
UNION ALL SELECT 'approval_decision', count(*) FROM approval_decision
UNION ALL SELECT 'approval_outcome', count(*) FROM approval_outcome
UNION ALL SELECT 'fee_schedule', count(*) FROM fee_schedule
UNION ALL SELECT 'settlement_evidence_set', count(*) FROM settlement_evidence_set
UNION ALL SELECT 'sweep', count(*) FROM audit_sweep;

-- stray_steps: steps of history that belong to no change that leads them
SELECT t.merchant_id, 'transition' AS part, t.subject_id || '/' || t.version::text AS name,
       coalesce(t.stream_id, t.subject_id) AS stream_id
FROM transition t
LEFT JOIN transition l ON l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
    AND l.version = t.lead_version AND l.lead_version IS NULL
LEFT JOIN attempt a ON a.merchant_id = t.merchant_id AND a.payment_id = t.stream_id AND a.attempt_id = t.subject_id
LEFT JOIN refund r ON r.merchant_id = t.merchant_id AND r.refund_id = t.subject_id AND r.payment_id = t.stream_id
LEFT JOIN dispute d ON d.merchant_id = t.merchant_id AND d.dispute_id = t.subject_id AND d.payment_id = t.stream_id
WHERE t.lead_version IS NOT NULL
  AND (l.version IS NULL
       OR (t.stream_id IS NOT NULL AND a.attempt_id IS NULL AND r.refund_id IS NULL AND d.dispute_id IS NULL))
LIMIT $1;

-- stray_postings: postings that belong to no step
SELECT x.merchant_id, 'transfer' AS part, x.subject_id || '/' || x.version::text || '/' || x.leg::text AS name,
       x.stream_id
FROM transfer x
LEFT JOIN transition t ON t.merchant_id = x.merchant_id AND t.subject_id = x.subject_id AND t.version = x.version
    AND (t.stream_id = x.stream_id OR (t.stream_id IS NULL AND t.subject_id = x.stream_id))
WHERE t.version IS NULL
LIMIT $1;

-- stray_messages: messages that belong to no step of their stream's own subject
SELECT o.merchant_id, 'outbox' AS part, o.message_id AS name, o.stream_id
FROM outbox o
LEFT JOIN transition t ON t.merchant_id = o.merchant_id AND t.subject_id = o.stream_id AND t.version = o.version
    AND (t.stream_id = o.stream_id OR t.stream_id IS NULL)
WHERE t.version IS NULL
LIMIT $1;
