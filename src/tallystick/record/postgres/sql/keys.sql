-- upsert_merchant: create a merchant if needed; a given default provider replaces the stored one, and so do given allowed
-- providers ($4: all are allowed again)
INSERT INTO merchant (merchant_id, default_provider, allowed_providers, created_at) VALUES ($1, $2, $3, now())
ON CONFLICT (merchant_id) DO UPDATE
SET default_provider = coalesce(excluded.default_provider, merchant.default_provider),
    allowed_providers = CASE WHEN NOT $4 THEN coalesce(excluded.allowed_providers, merchant.allowed_providers) END
RETURNING default_provider, allowed_providers;

-- insert_key: the hash of a new API key, the version of the API that it is pinned to, and what it declares; and the act,
-- with who did it
WITH created AS (
    INSERT INTO api_key (merchant_id, key_id, secret_hash, created_at, operator, api_version, kind, scopes,
                         limit_currencies, limit_amounts)
    VALUES ($1, $2, $3, now(), $4, $5, $6, $7, $8, $9)
    RETURNING *
)
INSERT INTO api_key_act (merchant_id, key_id, number, act, secret_hash, created_at, revoked_at, operator, api_version,
                         kind, scopes, limit_currencies, limit_amounts, at, actor)
SELECT merchant_id, key_id, 1, 'created', secret_hash, created_at, revoked_at, operator, api_version, kind, scopes,
       limit_currencies, limit_amounts, created_at, $10
FROM created;

-- keys: all keys or those of one merchant, without their hashes
SELECT merchant_id, key_id, created_at, revoked_at, operator, api_version, kind, scopes, limit_currencies, limit_amounts
FROM api_key
WHERE $1::text IS NULL OR merchant_id = $1
ORDER BY merchant_id, created_at, key_id;

-- revoke_key: a revoked key keeps its first time
UPDATE api_key SET revoked_at = now()
WHERE merchant_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING key_id, operator, api_version, kind, scopes, limit_currencies, limit_amounts;

-- pin_key: pin a key to another version of the API
UPDATE api_key SET api_version = $3
WHERE merchant_id = $1 AND key_id = $2 AND revoked_at IS NULL
RETURNING key_id;

-- insert_key_act: what was done to a key ($3) and by whom ($4), with what it is now
INSERT INTO api_key_act (merchant_id, key_id, number, act, secret_hash, created_at, revoked_at, operator, api_version,
                         kind, scopes, limit_currencies, limit_amounts, at, actor)
SELECT k.merchant_id, k.key_id, coalesce((SELECT max(a.number) FROM api_key_act a
                                          WHERE a.merchant_id = $1 AND a.key_id = $2), 0) + 1,
       $3::text, k.secret_hash, k.created_at, k.revoked_at, k.operator, k.api_version, k.kind, k.scopes,
       k.limit_currencies, k.limit_amounts, now(), $4
FROM api_key k WHERE k.merchant_id = $1 AND k.key_id = $2;
