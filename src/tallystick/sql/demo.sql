-- unknown_outcomes: attempts of a merchant that history once called unknown, and how many of those have an outcome now
SELECT count(*) AS met, count(*) FILTER (WHERE a.state IN ('approved', 'declined', 'failed')) AS resolved
FROM attempt a
WHERE a.merchant_id = $1 AND EXISTS (
    SELECT 1 FROM transition t
    WHERE t.merchant_id = a.merchant_id AND t.subject_id = a.attempt_id AND t.to_state = 'unknown');
