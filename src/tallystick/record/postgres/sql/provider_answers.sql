-- answers_of: the newest answers that are kept of a payment, with their keys
SELECT a.change_id, a.attempt_id, a.asked, a.status, a.size_bytes, a.at, a.sealed, k.raw_key, k.erased_by
FROM provider_answer a
LEFT JOIN provider_answer_key k
  ON k.merchant_id = a.merchant_id AND k.payment_id = a.payment_id AND k.change_id = a.change_id
WHERE a.merchant_id = $1 AND a.payment_id = $2
ORDER BY a.at DESC, a.change_id DESC LIMIT $3;
