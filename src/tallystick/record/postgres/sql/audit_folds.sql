-- references: a page of the charges that are known, after $1, $2, $3
SELECT provider, account, reference, merchant_id, payment_id FROM provider_reference
WHERE (provider, account, reference) > ($1::text, $2::text, $3::text)
ORDER BY provider, account, reference LIMIT $4;

-- references_in_history: those of these charges that a step of an attempt of their payment names
WITH k AS MATERIALIZED (
    SELECT unnest($1::text[]) AS provider, unnest($2::text[]) AS account, unnest($3::text[]) AS reference,
           unnest($4::text[]) AS merchant_id, unnest($5::text[]) AS payment_id
)
SELECT DISTINCT k.provider, k.account, k.reference, k.merchant_id, k.payment_id
FROM k
JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.provider = k.provider
    AND a.account = k.account
JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id
WHERE t.change ->> 'provider_reference' = k.reference OR t.evidence -> 'verdict' ->> 'reference' = k.reference;

-- attempts_end: the last one of a page of attempts after $1, $2, $3; none of the last page ($4: attempts in a page)
SELECT merchant_id, payment_id, attempt_id FROM attempt
WHERE (merchant_id, payment_id, attempt_id) > ($1::text, $2::text, $3::text)
ORDER BY merchant_id, payment_id, attempt_id OFFSET $4::int - 1 LIMIT 1;

-- references_kept: the charges that history keeps of the attempts after $1, $2, $3 up to $4, $5, $6 (null: all of them).
-- These are money that came late, and all charges of the providers $7
SELECT DISTINCT a.provider, a.account, t.change ->> 'provider_reference' AS reference, a.payment_id
FROM attempt a
JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id
WHERE (a.merchant_id, a.payment_id, a.attempt_id) > ($1::text, $2::text, $3::text)
  AND ($4::text IS NULL OR (a.merchant_id, a.payment_id, a.attempt_id) <= ($4::text, $5::text, $6::text))
  AND a.operation = 'authorize'
  AND (a.late_effect OR a.provider = ANY ($7::text[]))
  AND t.change ->> 'provider_reference' IS NOT NULL
  AND ((t.event IN ('late_capture', 'late_hold', 'late_release') AND t.change ->> 'late_effect' = 'true')
    OR (t.event IN ('pending', 'requires_action', 'approved') AND a.provider = ANY ($7::text[])));

-- references_known: those of these charges that are known, whosever they are said to be
SELECT r.provider, r.account, r.reference
FROM unnest($1::text[], $2::text[], $3::text[]) AS k (provider, account, reference)
JOIN provider_reference r ON r.provider = k.provider AND r.account = k.account AND r.reference = k.reference;

-- keys_gone: API keys that an act made, and that are not there ($1: at most)
SELECT DISTINCT a.merchant_id, a.key_id
FROM api_key_act a
LEFT JOIN api_key k ON k.merchant_id = a.merchant_id AND k.key_id = a.key_id
WHERE k.key_id IS NULL
LIMIT $1;

-- keys_unlike_their_acts: API keys that are not what the last act about them made ($1: at most)
SELECT k.merchant_id, k.key_id, a.key_id IS NOT NULL AS known
FROM api_key k
LEFT JOIN (SELECT DISTINCT ON (merchant_id, key_id) * FROM api_key_act
           ORDER BY merchant_id, key_id, number DESC) AS a
    ON a.merchant_id = k.merchant_id AND a.key_id = k.key_id
WHERE (a.secret_hash, a.created_at, a.revoked_at, a.operator, a.api_version, a.kind, a.scopes, a.limit_currencies,
       a.limit_amounts)
      IS DISTINCT FROM
      (k.secret_hash, k.created_at, k.revoked_at, k.operator, k.api_version, k.kind, k.scopes, k.limit_currencies,
       k.limit_amounts)
LIMIT $1;

-- acts_named: operators' acts of this name
SELECT operator, idempotency_key, act_id FROM operator_act WHERE act = $1;

-- approved: those of these requests that were approved
SELECT request_id FROM approval_outcome WHERE request_id = ANY($1::text[]) AND outcome = 'approved';

-- definitions: what these names lead to, as whoever reads them finds it
SELECT n.name, c.relkind::text AS kind, s.nspname::text AS schema, pg_get_viewdef(c.oid) AS query,
       coalesce(c.relrowsecurity, false) AS hidden,
       EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) AS children,
       EXISTS (SELECT 1 FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS triggers,
       EXISTS (SELECT 1 FROM pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN') AS rules
FROM unnest($1::text[]) AS n (name)
LEFT JOIN pg_class c ON c.oid = to_regclass(n.name)
LEFT JOIN pg_namespace s ON s.oid = c.relnamespace;

-- view_query: a view's query, as this server prints it
SELECT pg_get_viewdef(to_regclass($1));
