-- references: a page of the charges that are known, after $1, $2, $3
SELECT provider, account, reference, merchant_id, payment_id FROM provider_reference
WHERE (provider, account, reference) > ($1::text, $2::text, $3::text)
ORDER BY provider, account, reference LIMIT $4;

-- references_there: how many charges are known
SELECT count(*) AS there FROM provider_reference;

-- references_in_history: those of these charges that a step of an attempt of their payment names
WITH k AS MATERIALIZED (
    SELECT pg_catalog.unnest($1::text[]) AS provider, pg_catalog.unnest($2::text[]) AS account,
           pg_catalog.unnest($3::text[]) AS reference, pg_catalog.unnest($4::text[]) AS merchant_id,
           pg_catalog.unnest($5::text[]) AS payment_id
)
SELECT DISTINCT k.provider, k.account, k.reference, k.merchant_id, k.payment_id
FROM k
JOIN attempt a ON a.merchant_id = k.merchant_id AND a.payment_id = k.payment_id AND a.provider = k.provider
    AND a.account = k.account
JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id
WHERE t.change ->> 'provider_reference'::text = k.reference
   OR t.evidence -> 'verdict'::text ->> 'reference'::text = k.reference;

-- attempts_end: the last one of a page of attempts after $1, $2, $3; none of the last page ($4: attempts in a page)
SELECT merchant_id, payment_id, attempt_id FROM attempt
WHERE (merchant_id, payment_id, attempt_id) > ($1::text, $2::text, $3::text)
ORDER BY merchant_id, payment_id, attempt_id OFFSET $4::int - 1 LIMIT 1;

-- references_kept: the charges that history keeps of the attempts after $1, $2, $3 up to $4, $5, $6 (null: all of them).
-- These are money that came late, and all charges of the providers $7
SELECT DISTINCT a.provider, a.account, t.change ->> 'provider_reference'::text AS reference, a.payment_id
FROM attempt a
JOIN transition t ON t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id
WHERE (a.merchant_id, a.payment_id, a.attempt_id) > ($1::text, $2::text, $3::text)
  AND ($4::text IS NULL OR (a.merchant_id, a.payment_id, a.attempt_id) <= ($4::text, $5::text, $6::text))
  AND a.operation = 'authorize'
  AND (a.late_effect OR a.provider = ANY ($7::text[]))
  AND t.change ->> 'provider_reference'::text IS NOT NULL
  AND ((t.event IN ('late_capture', 'late_hold', 'late_release') AND t.change ->> 'late_effect'::text = 'true')
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

-- names: what these names lead to, as whoever reads them finds it
SELECT n.name, pg_catalog.to_regclass(n.name)::pg_catalog.oid AS oid FROM pg_catalog.unnest($1::text[]) AS n (name);

-- definitions: what these names lead to in the schemas of the system and of the record
SELECT n.name, c.oid, c.relkind::text AS kind, pg_catalog.pg_get_viewdef(c.oid) AS query,
       coalesce(c.relrowsecurity, false) AS hidden,
       EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) AS children,
       EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal) AS triggers,
       EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN') AS rules,
       EXISTS (SELECT 1 FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisprimary) AS keyed,
       EXISTS (SELECT 1 FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
               WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                 AND y.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace) AS typed
FROM pg_catalog.unnest($1::text[]) AS n (name)
LEFT JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(n.name);

-- view_query: a view's query, as this server prints it
SELECT pg_catalog.pg_get_viewdef(pg_catalog.to_regclass($1));

-- namesakes: functions, operators and casts that a statement could take for the system's ($1: at most). What an extension
-- brings into a schema of its own is not found by any statement. A function of a table's row reads as a column of it
SELECT 'function' AS what,
       n.nspname || '.' || p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS name
FROM pg_catalog.pg_proc p
JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid
    AND e.deptype = 'e'
WHERE n.nspname <> 'information_schema' AND pg_catalog.substr(n.nspname::text, 1, 3) <> 'pg_'
  AND (e.objid IS NULL OR n.nspname = 'public')
  AND (p.proname IN (SELECT o.proname FROM pg_catalog.pg_proc o
                     WHERE o.pronamespace = 'pg_catalog'::pg_catalog.regnamespace)
       OR p.proargtypes[0] IN (SELECT c.reltype FROM pg_catalog.pg_class c
                               WHERE c.relnamespace = 'public'::pg_catalog.regnamespace AND c.reltype <> 0))
UNION ALL
SELECT 'operator',
       n.nspname || '.' || p.oprname || ' (' || pg_catalog.format_type(p.oprleft, NULL) || ', '
       || pg_catalog.format_type(p.oprright, NULL) || ')'
FROM pg_catalog.pg_operator p
JOIN pg_catalog.pg_namespace n ON n.oid = p.oprnamespace
LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND e.objid = p.oid
    AND e.deptype = 'e'
WHERE n.nspname <> 'information_schema' AND pg_catalog.substr(n.nspname::text, 1, 3) <> 'pg_'
  AND (e.objid IS NULL OR n.nspname = 'public')
  AND p.oprname IN (SELECT o.oprname FROM pg_catalog.pg_operator o
                    WHERE o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace)
UNION ALL
SELECT 'cast', pg_catalog.format_type(k.castsource, NULL) || ' AS ' || pg_catalog.format_type(k.casttarget, NULL)
FROM pg_catalog.pg_cast k
JOIN pg_catalog.pg_type f ON f.oid = k.castsource
JOIN pg_catalog.pg_type t ON t.oid = k.casttarget
LEFT JOIN pg_catalog.pg_class c ON c.oid = f.typrelid AND c.relnamespace = 'public'::pg_catalog.regnamespace
WHERE k.oid >= 16384 AND t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
  AND (f.typnamespace = 'pg_catalog'::pg_catalog.regnamespace OR c.oid IS NOT NULL)
LIMIT $1;
