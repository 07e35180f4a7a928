-- News of settlement files is found by its event, and is stale once its file is withdrawn; and what names a posting at its
-- provider is said in one place.
-- depends: 0081_report_evidence

-- An event is looked for before each decision on it, and whenever a file tells of its movement anew.
CREATE INDEX settlement_news_of_event ON settlement_news (provider, account, provider_event_id);

-- Written by the withdrawal of the file, which a decision on the event waits for, or is before.
ALTER TABLE settlement_news ADD COLUMN is_withdrawn boolean NOT NULL DEFAULT false;

UPDATE settlement_news SET is_withdrawn = true
WHERE file_id IN (SELECT file_id FROM settlement_file WHERE state = 'withdrawn');

-- By the step of history that posted: the provider's name of what was posted, where it has one besides its payment's. Null
-- where it has none, or nobody told it. A step that was told by a notice of a capture has the capture's name in what it set;
-- one of a capture and its refund together has two, and names neither. Without joins: it is read a posting at a time,
-- whatever a plan thinks of lists.
CREATE VIEW posting_name AS
SELECT t.merchant_id, t.subject_id, t.version,
       CASE
           WHEN t.subject = 'refund' THEN (
               SELECT r.provider_reference FROM refund r WHERE r.merchant_id = t.merchant_id AND r.refund_id = t.subject_id)
           WHEN t.subject = 'dispute' THEN (
               SELECT d.provider_reference FROM dispute d WHERE d.merchant_id = t.merchant_id AND d.dispute_id = t.subject_id)
           WHEN t.event <> 'captured_and_refunded' THEN nullif(
               coalesce(
                   CASE WHEN t.event IN ('captured', 'capture_added', 'late_capture')
                        THEN t.change -> 'provider_operations'::text -> -1 ->> 'reference'::text END,
                   CASE WHEN t.lead_version IS NULL THEN t.provider_reference ELSE (
                       SELECT l.provider_reference FROM transition l
                       WHERE l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
                         AND l.version = t.lead_version) END
               ),
               (SELECT p.provider_reference FROM payment p WHERE p.merchant_id = t.merchant_id AND p.payment_id = t.subject_id))
       END AS name
FROM transition t;

GRANT SELECT ON posting_name TO tallystick_app;
