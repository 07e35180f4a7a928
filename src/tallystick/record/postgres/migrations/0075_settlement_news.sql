-- Rows of settlement files that tell of what the record does not have, and under which name the inbox has it.
-- depends: 0074_erasures_by_time

-- A row is written with the event that tells of it, in one transaction. Rows of one movement have one event. tries: how often
-- the file was looked at while the event was open; a file waits for so many, and no longer.
CREATE TABLE settlement_news (
    file_id text NOT NULL,
    position integer NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    provider_event_id text NOT NULL,
    tries integer NOT NULL DEFAULT 0,
    told_at timestamptz NOT NULL,
    PRIMARY KEY (file_id, position)
);

GRANT SELECT, INSERT, UPDATE ON settlement_news TO tallystick_app;
