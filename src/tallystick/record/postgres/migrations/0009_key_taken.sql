-- Whether the provider said that an attempt's key was used before, for another request. Old attempts: it never did.
-- depends: 0008_dead_letter_order

ALTER TABLE attempt ADD COLUMN key_taken boolean NOT NULL DEFAULT false;
