-- open_exponents: by what exponents the payments were made that are in none of the states $1, or have a refund that is open;
-- of a captured one, where something is left to refund
SELECT provider, currency, exponent, provider_exponent, count(*) AS open_payments
FROM payment
WHERE exponent IS NOT NULL AND provider_exponent IS NOT NULL AND state <> ALL ($1::text[])
  AND (state <> 'captured' OR amount_captured - amount_reversed > amount_refunded)
GROUP BY provider, currency, exponent, provider_exponent
ORDER BY provider, currency, exponent, provider_exponent;
