-- Rows say a thing once. A message whose data is a recorded answer names the answer's key, and has no body: the bytes are
-- the answer's. In an attempt the provider's key is null where it follows from the instruction's, and in a payment what
-- has its default. In an instruction the path is null where the operation ends in it, and the subject where it is the
-- payment: it is read, with its answer, as answered_instruction. Rows of before stay as they are.
-- depends: 0021_steps_once

ALTER TABLE outbox ADD COLUMN answer_key text, ALTER COLUMN body DROP NOT NULL;

-- Of new rows alone: to read all of the old ones would keep writers waiting.
ALTER TABLE outbox ADD CONSTRAINT outbox_says_something CHECK (body IS NOT NULL OR answer_key IS NOT NULL) NOT VALID;

ALTER TABLE attempt ALTER COLUMN provider_key DROP NOT NULL;

ALTER TABLE instruction ALTER COLUMN path DROP NOT NULL, ALTER COLUMN subject_id DROP NOT NULL;

CREATE VIEW answered_instruction AS
SELECT i.merchant_id, i.idempotency_key, i.instruction_id, i.operation,
       coalesce(i.path, substr(i.operation, strpos(i.operation, ' ') + 1)) AS path, i.fingerprint, i.fingerprint_version,
       i.request, i.payment_id, coalesce(i.subject_id, i.payment_id) AS subject_id, i.at, r.status, r.body
FROM instruction i
LEFT JOIN response r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key;

GRANT SELECT ON answered_instruction TO tallystick_app;

ALTER TABLE payment
    ALTER COLUMN amount_authorized DROP NOT NULL,
    ALTER COLUMN amount_captured DROP NOT NULL,
    ALTER COLUMN amount_refunded DROP NOT NULL,
    ALTER COLUMN amount_refund_pending DROP NOT NULL,
    ALTER COLUMN amount_reversed DROP NOT NULL,
    ALTER COLUMN amount_late DROP NOT NULL,
    ALTER COLUMN amount_late_accepted DROP NOT NULL,
    ALTER COLUMN amount_late_returning DROP NOT NULL,
    ALTER COLUMN amount_late_returned DROP NOT NULL,
    ALTER COLUMN late_movements DROP NOT NULL,
    ALTER COLUMN provider_operations DROP NOT NULL,
    ALTER COLUMN capture_method DROP NOT NULL;

-- The same checks as before, with null as 0. What is there was held to them already, and is not read again.
ALTER TABLE payment
    DROP CONSTRAINT payment_check,
    DROP CONSTRAINT payment_refunds_check,
    DROP CONSTRAINT payment_late_money_check;
ALTER TABLE payment
    ADD CONSTRAINT payment_check CHECK (coalesce(amount_captured, 0) <= coalesce(amount_authorized, 0)) NOT VALID,
    ADD CONSTRAINT payment_refunds_check CHECK (
        coalesce(amount_refunded, 0) + coalesce(amount_refund_pending, 0)
        <= coalesce(amount_captured, 0) + coalesce(amount_late_accepted, 0)) NOT VALID,
    ADD CONSTRAINT payment_late_money_check CHECK (
        coalesce(amount_late_accepted, 0) + coalesce(amount_late_returning, 0) + coalesce(amount_late_returned, 0)
        <= coalesce(amount_late, 0)) NOT VALID;
