-- open_exponents: by what exponents the payments were made whose money can still move: in none of the final states $1, with
-- something left to refund, or with late money that has not gone back
SELECT provider, currency, exponent, provider_exponent, count(*) AS open_payments
FROM payment
WHERE exponent IS NOT NULL AND provider_exponent IS NOT NULL
  AND (state <> ALL ($1::text[])
       OR coalesce(amount_captured, 0) + coalesce(amount_late_accepted, 0) - coalesce(amount_reversed, 0)
          > coalesce(amount_refunded, 0)
       OR coalesce(amount_late, 0) > coalesce(amount_late_accepted, 0) + coalesce(amount_late_returned, 0))
GROUP BY provider, currency, exponent, provider_exponent
ORDER BY provider, currency, exponent, provider_exponent;
