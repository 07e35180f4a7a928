-- A merchant may be held to some of the providers; null is all that are on.
-- depends: 0008_dead_letter_order

ALTER TABLE merchant ADD COLUMN allowed_providers text[] CHECK (cardinality(allowed_providers) > 0);
