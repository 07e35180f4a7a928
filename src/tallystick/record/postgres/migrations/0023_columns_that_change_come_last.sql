-- An update that finds room in its page logs what lies between the first and the last byte that it changes. So the
-- columns that payments and attempts change come last, and almost half of a page is left for second versions of its rows.
-- Every row of both tables is written anew.
-- depends: 0022_answers_once

ALTER TABLE payment
    ADD COLUMN moved_updated_at timestamptz,
    ADD COLUMN moved_amount_authorized bigint,
    ADD COLUMN moved_amount_captured bigint,
    ADD COLUMN moved_amount_refunded bigint,
    ADD COLUMN moved_amount_refund_pending bigint,
    ADD COLUMN moved_version integer,
    ADD COLUMN moved_state text,
    ADD COLUMN moved_provider_reference text,
    ADD COLUMN moved_next_action json,
    ADD COLUMN moved_failure json;
DROP INDEX payment_by_provider_reference, payment_by_rare_state, payment_captured;
UPDATE payment
SET moved_updated_at = updated_at, moved_amount_authorized = amount_authorized,
    moved_amount_captured = amount_captured, moved_amount_refunded = amount_refunded,
    moved_amount_refund_pending = amount_refund_pending, moved_version = version, moved_state = state,
    moved_provider_reference = provider_reference, moved_next_action = next_action, moved_failure = failure;
-- Their checks go with them.
ALTER TABLE payment
    DROP COLUMN updated_at, DROP COLUMN amount_authorized, DROP COLUMN amount_captured, DROP COLUMN amount_refunded,
    DROP COLUMN amount_refund_pending, DROP COLUMN version, DROP COLUMN state, DROP COLUMN provider_reference,
    DROP COLUMN next_action, DROP COLUMN failure;
ALTER TABLE payment RENAME COLUMN moved_updated_at TO updated_at;
ALTER TABLE payment RENAME COLUMN moved_amount_authorized TO amount_authorized;
ALTER TABLE payment RENAME COLUMN moved_amount_captured TO amount_captured;
ALTER TABLE payment RENAME COLUMN moved_amount_refunded TO amount_refunded;
ALTER TABLE payment RENAME COLUMN moved_amount_refund_pending TO amount_refund_pending;
ALTER TABLE payment RENAME COLUMN moved_version TO version;
ALTER TABLE payment RENAME COLUMN moved_state TO state;
ALTER TABLE payment RENAME COLUMN moved_provider_reference TO provider_reference;
ALTER TABLE payment RENAME COLUMN moved_next_action TO next_action;
ALTER TABLE payment RENAME COLUMN moved_failure TO failure;
ALTER TABLE payment
    ALTER COLUMN updated_at SET NOT NULL, ALTER COLUMN version SET NOT NULL, ALTER COLUMN state SET NOT NULL,
    ADD CONSTRAINT payment_amount_authorized_check CHECK (amount_authorized >= 0),
    ADD CONSTRAINT payment_amount_captured_check CHECK (amount_captured >= 0),
    ADD CONSTRAINT payment_amount_refunded_check CHECK (amount_refunded >= 0),
    ADD CONSTRAINT payment_amount_refund_pending_check CHECK (amount_refund_pending >= 0),
    ADD CONSTRAINT payment_check CHECK (coalesce(amount_captured, 0) <= coalesce(amount_authorized, 0)) NOT VALID,
    ADD CONSTRAINT payment_refunds_check CHECK (
        coalesce(amount_refunded, 0) + coalesce(amount_refund_pending, 0)
        <= coalesce(amount_captured, 0) + coalesce(amount_late_accepted, 0)) NOT VALID,
    SET (fillfactor = 58);
CREATE INDEX payment_by_provider_reference ON payment (merchant_id, provider_reference, payment_id)
    WHERE provider_reference IS NOT NULL;
CREATE INDEX payment_by_rare_state ON payment (merchant_id, state, payment_id) WHERE state <> 'captured';
CREATE INDEX payment_captured ON payment (merchant_id, payment_id) WHERE state = 'captured';

ALTER TABLE attempt
    ADD COLUMN moved_next_check_at timestamptz,
    ADD COLUMN moved_version integer,
    ADD COLUMN moved_state text,
    ADD COLUMN moved_provider_reference text;
DROP INDEX attempt_due;
UPDATE attempt
SET moved_next_check_at = next_check_at, moved_version = version, moved_state = state,
    moved_provider_reference = provider_reference;
ALTER TABLE attempt
    DROP COLUMN next_check_at, DROP COLUMN version, DROP COLUMN state, DROP COLUMN provider_reference;
ALTER TABLE attempt RENAME COLUMN moved_next_check_at TO next_check_at;
ALTER TABLE attempt RENAME COLUMN moved_version TO version;
ALTER TABLE attempt RENAME COLUMN moved_state TO state;
ALTER TABLE attempt RENAME COLUMN moved_provider_reference TO provider_reference;
ALTER TABLE attempt
    ALTER COLUMN version SET NOT NULL, ALTER COLUMN state SET NOT NULL,
    SET (fillfactor = 58);
CREATE INDEX attempt_due ON attempt (next_check_at) WHERE next_check_at IS NOT NULL;
