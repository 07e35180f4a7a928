-- open_payments: how many payments of a provider are not final, or have an attempt that recovery or a person looks at
SELECT count(*) FROM (
    SELECT merchant_id, payment_id FROM payment WHERE provider = $1 AND state <> 'captured' AND state = ANY ($2::text[])
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE provider = $1 AND next_check_at IS NOT NULL
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE provider = $1 AND parked_at IS NOT NULL) AS found;

-- open_by_account: the same of all providers, by the account that has the charge
SELECT a.provider, a.account, count(*) AS payments
FROM (
    SELECT merchant_id, payment_id FROM payment WHERE state <> 'captured' AND state = ANY ($1::text[])
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE next_check_at IS NOT NULL
    UNION
    SELECT merchant_id, payment_id FROM attempt WHERE parked_at IS NOT NULL) AS found
JOIN attempt a ON a.merchant_id = found.merchant_id AND a.payment_id = found.payment_id AND a.operation = 'authorize'
GROUP BY a.provider, a.account
ORDER BY a.provider, a.account;
