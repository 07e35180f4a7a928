-- keys: the keys of a merchant, without their secrets
SELECT key_id, created_at, revoked_at, kind, scopes, operator, api_version FROM api_key
WHERE merchant_id = $1 ORDER BY created_at, key_id;

-- first_steps: what a new platform has already
SELECT (SELECT count(*) FROM (SELECT 1 FROM operator_bootstrap LIMIT 2) AS o) >= 2 AS operators,
       EXISTS (SELECT 1 FROM merchant m JOIN api_key k ON k.merchant_id = m.merchant_id AND k.revoked_at IS NULL
               WHERE m.merchant_id <> 'operators') AS keys,
       EXISTS (SELECT 1 FROM webhook_endpoint WHERE state <> 'deleted') AS endpoints,
       EXISTS (SELECT 1 FROM instruction) AS payments;

-- holders: which merchants hold what of an account, the furthest from zero first; read whole
SELECT merchant_id, debits::bigint AS debits, credits::bigint AS credits, (debits - credits)::bigint AS net
FROM balance
WHERE account = $1 AND currency = $2 AND debits <> credits
ORDER BY abs(debits - credits) DESC, merchant_id
LIMIT $3;
