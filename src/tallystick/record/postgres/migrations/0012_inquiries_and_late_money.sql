-- Disputes are inquiries or chargebacks: what was kept up to now counts as a chargeback.
-- depends: 0008_dead_letter_order

ALTER TABLE dispute ADD COLUMN kind text NOT NULL DEFAULT 'chargeback' CHECK (kind IN ('inquiry', 'chargeback'));
