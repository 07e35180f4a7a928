-- What was done with a payment's charge at its provider and not through us, by the provider's name for each.
-- depends: 0008_dead_letter_order

ALTER TABLE payment ADD COLUMN provider_operations json NOT NULL DEFAULT '[]';
