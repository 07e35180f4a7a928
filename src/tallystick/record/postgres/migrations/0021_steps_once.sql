-- A step of history repeats nothing that the lead of its change has: the first step of the stream's own subject in that
-- change. lead_version is that step's version, and then change, cause, actor, times and reference are the lead's. A
-- stream_id that is null is the subject's own id. Rows of before stay as they are. history has every step whole: it is read
-- instead of the table. Processes of an older release cannot write from here on: stop them first.
-- depends: 0020_captured_payments

ALTER TABLE transition
    ADD COLUMN lead_version integer,
    ALTER COLUMN change_id DROP NOT NULL,
    ALTER COLUMN stream_id DROP NOT NULL,
    ALTER COLUMN cause DROP NOT NULL,
    ALTER COLUMN actor DROP NOT NULL,
    ALTER COLUMN at DROP NOT NULL;

-- Of new rows alone: to read all of the old ones would keep writers waiting. The second one refuses an older release.
ALTER TABLE transition
    ADD CONSTRAINT transition_has_its_cause CHECK (
        lead_version IS NOT NULL
        OR (change_id IS NOT NULL AND cause IS NOT NULL AND actor IS NOT NULL AND at IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT transition_says_it_once CHECK (stream_id IS DISTINCT FROM subject_id) NOT VALID;

CREATE VIEW history AS
SELECT t.merchant_id, t.subject_id, t.version,
       CASE WHEN t.lead_version IS NULL THEN t.change_id ELSE l.change_id END AS change_id,
       t.subject, coalesce(t.stream_id, t.subject_id) AS stream_id, t.from_state, t.to_state, t.event,
       CASE WHEN t.lead_version IS NULL THEN t.cause ELSE l.cause END AS cause,
       CASE WHEN t.lead_version IS NULL THEN t.actor ELSE l.actor END AS actor,
       CASE WHEN t.lead_version IS NULL THEN t.provider_reference ELSE l.provider_reference END AS provider_reference,
       CASE WHEN t.lead_version IS NULL THEN t.at ELSE l.at END AS at,
       CASE WHEN t.lead_version IS NULL THEN t.occurred_at ELSE l.occurred_at END AS occurred_at,
       t.change, t.evidence, t.payment_id
FROM transition t
LEFT JOIN transition l ON l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
    AND l.version = t.lead_version;

GRANT SELECT ON history TO tallystick_app;
