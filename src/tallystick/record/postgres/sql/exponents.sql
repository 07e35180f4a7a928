-- open_exponents: by what exponents the payments were made whose money can still move: in none of the final states $1, with
-- something left to refund, or with late money that has not gone back
SELECT provider, currency, exponent, provider_exponent, count(*) AS open_payments
FROM payment
WHERE exponent IS NOT NULL AND provider_exponent IS NOT NULL
  AND (state <> ALL ($1::text[])
       OR amount_captured + amount_late_accepted - amount_reversed > amount_refunded
       OR amount_late > amount_late_accepted + amount_late_returned)
GROUP BY provider, currency, exponent, provider_exponent
ORDER BY provider, currency, exponent, provider_exponent;
