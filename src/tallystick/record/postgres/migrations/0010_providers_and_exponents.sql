-- A merchant may be held to some of the providers; null is all that are on. A payment keeps the decimals of its currency's
-- minor unit, ours and its provider's, as they were when it was made; null, in rows of before, is what the tables have.
-- depends: 0008_dead_letter_order

ALTER TABLE merchant ADD COLUMN allowed_providers text[] CHECK (cardinality(allowed_providers) > 0);

ALTER TABLE payment ADD COLUMN exponent smallint, ADD COLUMN provider_exponent smallint,
    ADD CHECK (exponent >= 0 AND provider_exponent >= 0);
