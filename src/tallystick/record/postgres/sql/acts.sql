-- act: what an operator did under one key of their own
SELECT operator, idempotency_key, act_id, act, target, merchant_id, payment_id, arguments, fingerprint, reason, key_kind,
       change_id, result, at
FROM operator_act WHERE operator = $1 AND idempotency_key = $2;

-- act_by_id: one act by its own id
SELECT operator, idempotency_key, act_id, act, target, merchant_id, payment_id, arguments, fingerprint, reason, key_kind,
       change_id, result, at
FROM operator_act WHERE act_id = $1;

-- acts: a page of acts before the id $1, the newest first: those of an operator ($2), of a kind ($3), on a target ($4);
-- null is all
SELECT operator, idempotency_key, act_id, act, target, merchant_id, payment_id, arguments, fingerprint, reason, key_kind,
       change_id, result, at
FROM operator_act
WHERE ($1::text IS NULL OR act_id < $1) AND ($2::text IS NULL OR operator = $2) AND ($3::text IS NULL OR act = $3)
  AND ($4::text IS NULL OR target = $4)
ORDER BY act_id DESC
LIMIT $5;

-- insert_act: an act that no change carries out; one whose key is taken is an error, and nothing is written
INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, merchant_id, payment_id, arguments,
                          fingerprint, reason, key_kind, change_id, result, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8::text::json, $9, $10, $11, $12, $13::text::json, $14);

-- insert_deployment: a point of the record; one that is there already stays
INSERT INTO deployment (deployment_id, kind, at, process_version, version, role, host, fingerprint, changed, digests,
                        actor, act_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::json, $11, $12)
ON CONFLICT DO NOTHING;

-- release: the first mark of the release $1
SELECT deployment_id, kind, at, process_version, version, role, host, changed, actor, act_id
FROM deployment WHERE kind = 'release' AND version = $1
ORDER BY at, deployment_id
LIMIT 1;

-- last_configuration: the last one that a process of this role found
SELECT deployment_id, fingerprint, digests FROM deployment
WHERE kind = 'configuration' AND role = $1
ORDER BY at DESC, deployment_id DESC
LIMIT 1;

-- deployments: those since $1, the newest first
SELECT deployment_id, kind, at, process_version, version, role, host, changed, actor, act_id
FROM deployment WHERE at >= $1
ORDER BY at DESC, deployment_id DESC
LIMIT $2;
