-- API keys declare what they are, what they are for, and how much one operation may move. Null is what every key of
-- before declares: a service, for everything. The two columns of limits go together: a currency in which the key may act,
-- and the most that one operation may move in it, or null.
--
-- The kind of the key goes with what its instruction leads to. An attempt has it unless it is a service's. A step of
-- history and a message have its first letter, and null where no key led to them. Those of before have null.
--
-- The trace of a request is kept with its instruction, with the attempt that is sent to a provider, and with the
-- messages about it; null where a request belongs to none.
-- depends: 0026_api_versions

ALTER TABLE api_key ADD COLUMN kind text;
ALTER TABLE api_key ADD COLUMN scopes text[];
ALTER TABLE api_key ADD COLUMN limit_currencies text[];
ALTER TABLE api_key ADD COLUMN limit_amounts bigint[];

ALTER TABLE attempt ADD COLUMN key_kind text;
ALTER TABLE transition ADD COLUMN key_kind text;
ALTER TABLE rejection ADD COLUMN key_kind text;
ALTER TABLE outbox ADD COLUMN key_kind text;

ALTER TABLE instruction ADD COLUMN traceparent text;
ALTER TABLE attempt ADD COLUMN traceparent text;
ALTER TABLE outbox ADD COLUMN traceparent text;

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
       t.change, t.evidence, t.payment_id,
       CASE coalesce(t.key_kind, l.key_kind)
            WHEN 'h' THEN 'human' WHEN 's' THEN 'service' WHEN 'a' THEN 'agent' END AS key_kind
FROM transition t
LEFT JOIN transition l ON l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
    AND l.version = t.lead_version;
