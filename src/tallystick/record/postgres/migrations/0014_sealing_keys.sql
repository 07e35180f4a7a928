-- Which keys seal what is encrypted in this database, and which of them an operator retired: append-only, in the order in
-- which it happened. Two processes that begin at once with different keys want the same number, and one gets it.
-- A fingerprint is the SHA-256 of a random key of 256 bits: it tells keys apart, and no guess finds the key from it. key_id
-- is in clear in each sealed value. A key that was retired without being registered before has no fingerprint.
-- depends: 0013_late_money_counted

CREATE TABLE sealing_key_act (
    number integer NOT NULL CHECK (number > 0),
    act text NOT NULL CHECK (act IN ('registered', 'retired')),
    key_id bytea NOT NULL CHECK (octet_length(key_id) = 4),
    fingerprint bytea CHECK (octet_length(fingerprint) = 32),
    actor text NOT NULL,
    reason text,
    at timestamptz NOT NULL,
    PRIMARY KEY (number),
    CHECK (act = 'retired' OR fingerprint IS NOT NULL)
);

GRANT SELECT, INSERT ON sealing_key_act TO tallystick_app;
