-- Ten ways to break a stored payment, chosen by somebody who had seen neither the finder nor its tests: from README, the
-- contract, the concepts, the definitions of the tables, and rows that the product wrote. Each is one statement, with
-- :merchant_id and :payment_id, and leaves as few rows as it can that tell the truth.

-- amount_rewritten_everywhere_but_the_request: The client asked for 12.50 EUR under this key and the provider reported
-- 12.50, but the record says that 11.50 was sent, captured, posted and answered.
WITH p AS (
    SELECT merchant_id, payment_id, amount AS was, amount - 100 AS target, currency, 'provider:' || provider AS clearing
    FROM payment WHERE merchant_id = :merchant_id AND payment_id = :payment_id
), changed_payment AS (
    UPDATE payment SET amount = p.target, amount_authorized = p.target, amount_captured = p.target
    FROM p WHERE payment.merchant_id = p.merchant_id AND payment.payment_id = p.payment_id
), changed_attempt AS (
    UPDATE attempt SET amount = p.target
    FROM p WHERE attempt.merchant_id = p.merchant_id AND attempt.payment_id = p.payment_id
), changed_history AS (
    UPDATE transition AS t SET
        change = CAST(regexp_replace(CAST(t.change AS text),
            '(amount[a-z_]*": *)' || p.was || '\y', '\1' || p.target, 'g') AS json),
        evidence = CAST(regexp_replace(CAST(t.evidence AS text),
            '(amount[a-z_]*\\?": *)' || p.was || '\y', '\1' || p.target, 'g') AS json)
    FROM p WHERE t.merchant_id = p.merchant_id AND coalesce(t.stream_id, t.subject_id) = p.payment_id
), changed_posting AS (
    UPDATE transfer SET amount = p.target
    FROM p WHERE transfer.merchant_id = p.merchant_id AND transfer.stream_id = p.payment_id AND transfer.kind = 'capture'
), changed_answer AS (
    UPDATE response AS r SET body = convert_to(regexp_replace(convert_from(r.body, 'UTF8'),
        '(amount[a-z_]*": *)' || p.was || '\y', '\1' || p.target, 'g'), 'UTF8')
    FROM p JOIN instruction AS i ON i.merchant_id = p.merchant_id AND i.payment_id = p.payment_id
    WHERE r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key
)
UPDATE balance AS b SET
    debits = b.debits - CASE WHEN b.account = p.clearing THEN 100 ELSE 0 END,
    credits = b.credits - CASE WHEN b.account = 'merchant' THEN 100 ELSE 0 END
FROM p WHERE b.merchant_id = p.merchant_id AND b.currency = p.currency AND b.account IN (p.clearing, 'merchant');

-- two_refunds_swap_their_amounts: Refund re_A was asked for, approved by the provider, answered and told as 3.00 EUR
-- and is recorded and posted as 5.00, and re_B the other way round.
WITH two AS (
    SELECT a.merchant_id, a.payment_id, a.refund_id, b.amount AS target
    FROM refund AS a JOIN refund AS b
        ON b.merchant_id = a.merchant_id AND b.payment_id = a.payment_id AND b.refund_id <> a.refund_id
    WHERE a.merchant_id = :merchant_id AND a.payment_id = :payment_id
), changed_attempts AS (
    UPDATE attempt AS t SET amount = two.target
    FROM two WHERE t.merchant_id = two.merchant_id AND t.payment_id = two.payment_id AND t.refund_id = two.refund_id
), changed_history AS (
    UPDATE transition AS t SET
        change = CAST(jsonb_set(CAST(t.change AS jsonb), '{amount}', to_jsonb(two.target)) AS json)
    FROM two JOIN attempt AS x
        ON x.merchant_id = two.merchant_id AND x.payment_id = two.payment_id AND x.refund_id = two.refund_id
    WHERE t.merchant_id = two.merchant_id AND t.version = 1 AND t.subject_id IN (two.refund_id, x.attempt_id)
), changed_postings AS (
    UPDATE transfer AS t SET amount = two.target
    FROM two WHERE t.merchant_id = two.merchant_id AND t.stream_id = two.payment_id AND t.subject_id = two.refund_id
)
UPDATE refund AS r SET amount = two.target
FROM two WHERE r.merchant_id = two.merchant_id AND r.refund_id = two.refund_id;

-- message_tells_of_another_payment: The message msg_… of this payment's capture has another payment in its body, so the
-- capture of this payment was never told to the merchant.
UPDATE outbox AS o SET body = NULL, answer_key = (
    SELECT i.idempotency_key
    FROM payment AS mine
    JOIN payment AS other ON other.merchant_id = mine.merchant_id AND other.payment_id <> mine.payment_id
        AND other.state = 'captured' AND other.amount = mine.amount AND other.currency = mine.currency
    JOIN instruction AS i ON i.merchant_id = other.merchant_id AND i.payment_id = other.payment_id
        AND i.operation = 'POST /v1/payments'
    JOIN response AS r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key
    WHERE mine.merchant_id = o.merchant_id AND mine.payment_id = o.stream_id
    ORDER BY other.payment_id LIMIT 1)
WHERE o.merchant_id = :merchant_id AND o.stream_id = :payment_id AND o.subject_id = :payment_id
    AND o.type = 'payment.captured';

-- answer_of_the_capture_for_the_create: The answer recorded for the create shows version 4, captured, but the create
-- was final at version 2, authorized: this is the answer to the capture, and a replay would give the client another
-- answer than the first.
UPDATE response AS r SET body = (
    SELECT later.body FROM instruction AS i
    JOIN response AS later ON later.merchant_id = i.merchant_id AND later.idempotency_key = i.idempotency_key
    WHERE i.merchant_id = :merchant_id AND i.payment_id = :payment_id
        AND i.operation = 'POST /v1/payments/{id}/capture' AND later.status = 200
    ORDER BY later.at DESC LIMIT 1)
FROM instruction AS c
WHERE c.merchant_id = :merchant_id AND c.payment_id = :payment_id AND c.operation = 'POST /v1/payments'
    AND r.merchant_id = c.merchant_id AND r.idempotency_key = c.idempotency_key;

-- references_swapped_between_two_payments: This payment is recorded with charge ch_B, but the provider's own word for
-- its attempt, the answer that the client got, and the provider's event all name ch_A, and ch_B is another payment's: a
-- refund would go to the wrong payer.
WITH pair AS (
    SELECT mine.merchant_id, mine.payment_id AS a, mine.provider_reference AS a_ref,
        other.payment_id AS b, other.provider_reference AS b_ref
    FROM payment AS mine JOIN payment AS other ON other.merchant_id = mine.merchant_id
        AND other.payment_id <> mine.payment_id AND other.state = 'captured' AND other.amount = mine.amount
        AND other.currency = mine.currency AND other.provider = mine.provider
        AND coalesce(other.capture_method, 'automatic') = 'automatic' AND coalesce(other.amount_refunded, 0) = 0
    WHERE mine.merchant_id = :merchant_id AND mine.payment_id = :payment_id
    ORDER BY other.payment_id LIMIT 1
), swap AS (
    SELECT merchant_id, a AS payment_id, a_ref AS was, b_ref AS target FROM pair
    UNION ALL SELECT merchant_id, b, b_ref, a_ref FROM pair
), changed_attempts AS (
    UPDATE attempt AS t SET provider_reference = swap.target
    FROM swap WHERE t.merchant_id = swap.merchant_id AND t.payment_id = swap.payment_id AND t.provider_reference = swap.was
), changed_history AS (
    UPDATE transition AS t SET
        provider_reference = CASE WHEN t.provider_reference = swap.was THEN swap.target ELSE t.provider_reference END,
        change = CAST(CASE WHEN CAST(t.change AS jsonb) ->> 'provider_reference' = swap.was
            THEN jsonb_set(CAST(t.change AS jsonb), '{provider_reference}', to_jsonb(swap.target))
            ELSE CAST(t.change AS jsonb) END AS json)
    FROM swap WHERE t.merchant_id = swap.merchant_id AND coalesce(t.stream_id, t.subject_id) = swap.payment_id
        AND (t.provider_reference = swap.was OR CAST(t.change AS jsonb) ->> 'provider_reference' = swap.was)
)
UPDATE payment AS p SET provider_reference = swap.target
FROM swap WHERE p.merchant_id = swap.merchant_id AND p.payment_id = swap.payment_id;

-- captured_before_it_was_asked: Version 2, the capture, its posting and its answer are dated an hour before version 1,
-- the request that they answer, which is more than clocks may differ.
WITH s AS (
    SELECT c.merchant_id, c.subject_id AS payment_id, c.version, f.at - interval '1 hour' AS back,
        c.at - (f.at - interval '1 hour') AS shift
    FROM transition AS c
    JOIN transition AS f ON f.merchant_id = c.merchant_id AND f.subject_id = c.subject_id AND f.version = 1
    WHERE c.merchant_id = :merchant_id AND c.subject_id = :payment_id AND c.event = 'captured'
), changed_history AS (
    UPDATE transition AS t SET at = s.back, occurred_at = t.occurred_at - s.shift
    FROM s WHERE t.merchant_id = s.merchant_id AND t.subject_id = s.payment_id AND t.version = s.version
), changed_postings AS (
    UPDATE transfer AS t SET at = s.back
    FROM s WHERE t.merchant_id = s.merchant_id AND t.stream_id = s.payment_id AND t.subject_id = s.payment_id
        AND t.version = s.version
), changed_message AS (
    UPDATE outbox AS o SET at = s.back
    FROM s WHERE o.merchant_id = s.merchant_id AND o.stream_id = s.payment_id AND o.version = s.version
), changed_answer AS (
    UPDATE response AS r SET at = s.back
    FROM s JOIN instruction AS i ON i.merchant_id = s.merchant_id AND i.payment_id = s.payment_id
        AND i.operation = 'POST /v1/payments'
    WHERE r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key
)
UPDATE payment AS p SET updated_at = s.back
FROM s WHERE p.merchant_id = s.merchant_id AND p.payment_id = s.payment_id;

-- look_up_put_off_for_decades: The outcome of this payment is in doubt and nobody will ask before the year 2056: its
-- next look-up is later than any wait that the rules allow, and it is on no person's list.
UPDATE attempt SET next_check_at = coalesce(next_check_at, now()) + interval '30 years', lease_until = NULL, parked_at = NULL
WHERE merchant_id = :merchant_id AND payment_id = :payment_id
    AND state IN ('submitted', 'unknown', 'not_found', 'not_sent', 'pending');

-- refund_rolled_back_beside_its_approved_attempt: The provider approved refund re_… (att_…, with reference), but the
-- refund is still `submitting`, its money still in flight, its request unanswered, and no attempt is open that could
-- end it.
WITH r AS (
    SELECT f.merchant_id, f.payment_id, f.refund_id, f.version AS refund_version, f.amount, f.currency, f.provider,
        l.version AS lead, l.change_id, l.cause, l.actor, l.at, l.occurred_at, l.provider_reference, l.key_kind,
        b.at AS at_before
    FROM refund AS f
    JOIN transition AS s ON s.merchant_id = f.merchant_id AND s.subject_id = f.refund_id AND s.version = f.version
        AND s.event = 'succeeded'
    JOIN transition AS l ON l.merchant_id = f.merchant_id AND l.subject_id = f.payment_id AND l.version = s.lead_version
    JOIN transition AS b ON b.merchant_id = f.merchant_id AND b.subject_id = f.payment_id AND b.version = l.version - 1
    JOIN payment AS p ON p.merchant_id = f.merchant_id AND p.payment_id = f.payment_id AND p.version = l.version
    WHERE f.merchant_id = :merchant_id AND f.payment_id = :payment_id AND f.state = 'succeeded'
), attempt_stands_alone AS (
    UPDATE transition AS t SET lead_version = NULL, change_id = r.change_id, cause = r.cause, actor = r.actor, at = r.at,
        occurred_at = r.occurred_at, provider_reference = r.provider_reference, key_kind = r.key_kind
    FROM r WHERE t.merchant_id = r.merchant_id AND t.stream_id = r.payment_id AND t.lead_version = r.lead
        AND t.event = 'approved'
), removed_history AS (
    DELETE FROM transition AS t USING r
    WHERE t.merchant_id = r.merchant_id AND ((t.subject_id = r.refund_id AND t.version = r.refund_version)
        OR (t.subject_id = r.payment_id AND t.version = r.lead))
), removed_posting AS (
    DELETE FROM transfer AS t USING r
    WHERE t.merchant_id = r.merchant_id AND t.stream_id = r.payment_id AND t.subject_id = r.refund_id
        AND t.version = r.refund_version
), removed_message AS (
    DELETE FROM outbox AS o USING r
    WHERE o.merchant_id = r.merchant_id AND o.stream_id = r.payment_id AND o.version = r.lead AND o.subject_id = r.refund_id
), removed_delivery AS (
    DELETE FROM message_delivery AS d USING r
    WHERE d.merchant_id = r.merchant_id AND d.payment_id = r.payment_id AND d.version = r.lead AND d.subject_id = r.refund_id
), removed_answer AS (
    DELETE FROM response AS a USING r, attempt AS t
    WHERE t.merchant_id = r.merchant_id AND t.payment_id = r.payment_id AND t.refund_id = r.refund_id
        AND a.merchant_id = t.merchant_id AND a.idempotency_key = t.idempotency_key
), changed_refund AS (
    UPDATE refund AS f SET state = 'submitting', version = f.version - 1, provider_reference = NULL, updated_at = f.created_at
    FROM r WHERE f.merchant_id = r.merchant_id AND f.refund_id = r.refund_id
), changed_payment AS (
    UPDATE payment AS p SET version = p.version - 1, updated_at = r.at_before,
        amount_refunded = nullif(p.amount_refunded - r.amount, 0),
        amount_refund_pending = coalesce(p.amount_refund_pending, 0) + r.amount
    FROM r WHERE p.merchant_id = r.merchant_id AND p.payment_id = r.payment_id
)
UPDATE balance AS b SET
    debits = b.debits - CASE WHEN b.account = 'refunds_in_flight:' || r.provider THEN r.amount ELSE 0 END,
    credits = b.credits - CASE WHEN b.account = 'provider:' || r.provider THEN r.amount ELSE 0 END
FROM r WHERE b.merchant_id = r.merchant_id AND b.currency = r.currency
    AND b.account IN ('refunds_in_flight:' || r.provider, 'provider:' || r.provider);

-- lost_dispute_relabelled_won: The step that calls dispute dp_… won, and gives the merchant 12.50 EUR back, was made by
-- the provider's event evt_…, which says that the dispute was lost.
WITH d AS (
    SELECT x.merchant_id, x.payment_id, x.dispute_id, x.version, x.amount, x.currency, 'provider:' || x.provider AS clearing,
        'disputes:' || x.provider AS disputes
    FROM dispute AS x
    WHERE x.merchant_id = :merchant_id AND x.payment_id = :payment_id AND x.state = 'lost' AND x.funds_withdrawn
), changed_history AS (
    UPDATE transition AS t SET event = 'won', to_state = 'won'
    FROM d WHERE t.merchant_id = d.merchant_id AND t.subject_id = d.dispute_id AND t.version = d.version AND t.event = 'lost'
), changed_posting AS (
    UPDATE transfer AS t SET kind = 'dispute_released', debit = 'dispute_reserve', credit = 'merchant'
    FROM d WHERE t.merchant_id = d.merchant_id AND t.stream_id = d.payment_id AND t.subject_id = d.dispute_id
        AND t.version = d.version AND t.kind = 'dispute_lost'
), added_posting AS (
    INSERT INTO transfer (merchant_id, payment_id, stream_id, subject_id, version, leg, kind, debit, credit, amount, currency, at)
    SELECT t.merchant_id, t.payment_id, t.stream_id, t.subject_id, t.version, CAST(t.leg + 1 AS smallint), 'dispute_returned',
        d.clearing, d.disputes, t.amount, t.currency, t.at
    FROM d JOIN transfer AS t ON t.merchant_id = d.merchant_id AND t.stream_id = d.payment_id AND t.subject_id = d.dispute_id
        AND t.version = d.version AND t.kind = 'dispute_lost'
), changed_message AS (
    UPDATE outbox AS o SET type = 'dispute.won', body = convert_to(replace(replace(convert_from(o.body, 'UTF8'),
        '"dispute.lost"', '"dispute.won"'), '"lost"', '"won"'), 'UTF8')
    FROM d WHERE o.merchant_id = d.merchant_id AND o.stream_id = d.payment_id AND o.subject_id = d.dispute_id
        AND o.type = 'dispute.lost'
), changed_delivery AS (
    UPDATE message_delivery AS m SET type = 'dispute.won'
    FROM d WHERE m.merchant_id = d.merchant_id AND m.payment_id = d.payment_id AND m.subject_id = d.dispute_id
        AND m.type = 'dispute.lost'
), changed_dispute AS (
    UPDATE dispute AS x SET state = 'won'
    FROM d WHERE x.merchant_id = d.merchant_id AND x.dispute_id = d.dispute_id
)
UPDATE balance AS b SET
    debits = b.debits + CASE WHEN b.account = d.clearing THEN d.amount ELSE 0 END,
    credits = b.credits + CASE WHEN b.account = 'merchant' THEN d.amount ELSE 0 END
FROM d WHERE b.merchant_id = d.merchant_id AND b.currency = d.currency AND b.account IN (d.clearing, 'merchant');

-- event_credited_with_another_payments_change: Event evt_… is said to have been applied by change chg_…, which is a
-- change of another payment, so the capture of this payment, which names the event as its cause, has no event that
-- accounts for it.
UPDATE processing AS x SET change_id = (
    SELECT c.change_id
    FROM payment AS mine
    JOIN payment AS other ON other.merchant_id = mine.merchant_id AND other.payment_id <> mine.payment_id
        AND other.state = 'captured' AND other.amount = mine.amount AND other.currency = mine.currency
    JOIN transition AS c ON c.merchant_id = other.merchant_id AND c.subject_id = other.payment_id
        AND c.event = 'captured' AND c.change_id IS NOT NULL
    WHERE mine.merchant_id = :merchant_id AND mine.payment_id = :payment_id
    ORDER BY other.payment_id LIMIT 1)
FROM inbox AS i
WHERE i.merchant_id = :merchant_id AND i.payment_id = :payment_id AND i.type = 'charge.captured' AND i.state = 'applied'
    AND x.provider = i.provider AND x.account = i.account AND x.provider_event_id = i.provider_event_id
    AND x.result = 'applied';
