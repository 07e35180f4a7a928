-- fee_schedules: all versions of the account $2 of the provider $1, the oldest first
SELECT provider, account, version, valid_from, rounding, rates, actor, created_at
FROM fee_schedule
WHERE provider = $1 AND account = $2
ORDER BY version;

-- all_fee_schedules: all versions of every account
SELECT provider, account, version, valid_from, rounding, rates, actor, created_at
FROM fee_schedule
ORDER BY provider, account, version;

-- insert_fee_schedule: one version; the key refuses one that is taken
INSERT INTO fee_schedule (provider, account, version, valid_from, rounding, rates, actor, created_at)
VALUES ($1, $2, $3, $4, $5, $6::text::json, $7, $8);
