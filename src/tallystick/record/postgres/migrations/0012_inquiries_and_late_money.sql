-- Disputes are inquiries or chargebacks: what was kept up to now counts as a chargeback.
-- depends: 0011_provider_operations

ALTER TABLE dispute ADD COLUMN kind text NOT NULL DEFAULT 'chargeback' CHECK (kind IN ('inquiry', 'chargeback'));

-- Late money leaves suspense: accepted for the merchant, on its way back, gone back; and what the provider moved by itself.
ALTER TABLE payment
    ADD COLUMN amount_late_accepted bigint NOT NULL DEFAULT 0 CHECK (amount_late_accepted >= 0),
    ADD COLUMN amount_late_returning bigint NOT NULL DEFAULT 0 CHECK (amount_late_returning >= 0),
    ADD COLUMN amount_late_returned bigint NOT NULL DEFAULT 0 CHECK (amount_late_returned >= 0),
    ADD COLUMN late_movements json NOT NULL DEFAULT '[]';
CREATE INDEX payment_with_late_money ON payment (payment_id) WHERE amount_late > 0;

-- What can be refunded: what was captured, and late money that was accepted. No more is decided on than came in.
-- payment_check1 is PostgreSQL's name for the second check that 0001_schema gave the table.
ALTER TABLE payment DROP CONSTRAINT payment_check1;
ALTER TABLE payment
    ADD CONSTRAINT payment_refunds_check
        CHECK (amount_refunded + amount_refund_pending <= amount_captured + amount_late_accepted),
    ADD CONSTRAINT payment_late_money_check
        CHECK (amount_late_accepted + amount_late_returning + amount_late_returned <= amount_late);
