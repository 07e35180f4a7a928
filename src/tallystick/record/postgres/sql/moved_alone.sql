-- moved_on: how often, and how much, the operator $1 moved alone on the day $2 in each of the currencies $3
SELECT currency, max(ordinal) AS acts, sum(amount)::bigint AS amount
FROM moved_alone
WHERE operator = $1 AND day = $2 AND currency = ANY ($3::text[])
GROUP BY currency;

-- insert_moved: the next act of an operator's day in one currency; a place that is taken is an error
INSERT INTO moved_alone (operator, day, currency, ordinal, amount, act_id, at) VALUES ($1, $2, $3, $4, $5, $6, $7);
