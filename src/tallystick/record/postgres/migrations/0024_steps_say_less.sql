-- What follows from an id is null: the kind of a step's subject where it follows from the id's prefix, and an
-- instruction's id where it is made of its subject's. history and answered_instruction have both. Rows of before stay as
-- they are.
-- depends: 0023_columns_that_change_come_last

ALTER TABLE transition ALTER COLUMN subject DROP NOT NULL;

CREATE OR REPLACE VIEW history AS
SELECT t.merchant_id, t.subject_id, t.version,
       CASE WHEN t.lead_version IS NULL THEN t.change_id ELSE l.change_id END AS change_id,
       coalesce(t.subject, CASE substr(t.subject_id, 1, 4)
                                WHEN 'pay_' THEN 'payment' WHEN 'att_' THEN 'attempt' END) AS subject,
       coalesce(t.stream_id, t.subject_id) AS stream_id, t.from_state, t.to_state, t.event,
       CASE WHEN t.lead_version IS NULL THEN t.cause ELSE l.cause END AS cause,
       CASE WHEN t.lead_version IS NULL THEN t.actor ELSE l.actor END AS actor,
       CASE WHEN t.lead_version IS NULL THEN t.provider_reference ELSE l.provider_reference END AS provider_reference,
       CASE WHEN t.lead_version IS NULL THEN t.at ELSE l.at END AS at,
       CASE WHEN t.lead_version IS NULL THEN t.occurred_at ELSE l.occurred_at END AS occurred_at,
       t.change, t.evidence, t.payment_id
FROM transition t
LEFT JOIN transition l ON l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
    AND l.version = t.lead_version;

ALTER TABLE instruction ALTER COLUMN instruction_id DROP NOT NULL;

CREATE OR REPLACE VIEW answered_instruction AS
SELECT i.merchant_id, i.idempotency_key,
       coalesce(i.instruction_id, 'ins' || substr(coalesce(i.subject_id, i.payment_id),
                                                  strpos(coalesce(i.subject_id, i.payment_id), '_'))) AS instruction_id,
       i.operation, coalesce(i.path, substr(i.operation, strpos(i.operation, ' ') + 1)) AS path, i.fingerprint,
       i.fingerprint_version, i.request, i.payment_id, coalesce(i.subject_id, i.payment_id) AS subject_id, i.at, r.status,
       r.body
FROM instruction i
LEFT JOIN response r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key;
