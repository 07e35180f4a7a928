-- A message whose data is a recorded answer names the answer's key, and has no body: the bytes are the answer's. Rows of
-- before stay as they are.
-- depends: 0021_steps_once

ALTER TABLE outbox ADD COLUMN answer_key text, ALTER COLUMN body DROP NOT NULL;

-- Of new rows alone: to read all of the old ones would keep writers waiting.
ALTER TABLE outbox ADD CONSTRAINT outbox_says_something CHECK (body IS NOT NULL OR answer_key IS NOT NULL) NOT VALID;
