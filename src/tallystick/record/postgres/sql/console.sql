-- keys: the keys of a merchant, without their secrets
SELECT key_id, created_at, revoked_at, kind, scopes, operator, api_version FROM api_key
WHERE merchant_id = $1 ORDER BY created_at, key_id;

-- holders: which merchants hold what of an account, the furthest from zero first; read whole
SELECT merchant_id, debits::bigint AS debits, credits::bigint AS credits, (debits - credits)::bigint AS net
FROM balance
WHERE account = $1 AND currency = $2 AND debits <> credits
ORDER BY abs(debits - credits) DESC, merchant_id
LIMIT $3;
