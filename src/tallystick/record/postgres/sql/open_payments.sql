-- open_payments: how many payments of a provider are not final, or have an attempt that recovery or a person looks at
SELECT count(*) FROM (
    SELECT merchant_id, payment_id FROM payment WHERE provider = $1 AND state <> 'captured' AND state = ANY ($2::text[])
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE provider = $1 AND next_check_at IS NOT NULL
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE provider = $1 AND parked_at IS NOT NULL) AS found;
