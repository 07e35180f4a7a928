-- How far the sealer is: up to when it has looked at everything of some kinds that was visible then. Who seals next goes on
-- from there, however far that is behind. Nothing is promised of it: what it passes by is found by the look at everything.
-- depends: 0083_settlements_taken_back
CREATE TABLE audit_position (
    name text PRIMARY KEY,
    at timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON audit_position TO tallystick_app;

-- What was sent to a place: a record that was restored may have made another checkpoint of that number. digest_of: the number; a
-- process of an older release notes another number and leaves the digest.
ALTER TABLE audit_anchor ADD COLUMN digest text;
ALTER TABLE audit_anchor ADD COLUMN digest_of bigint;
