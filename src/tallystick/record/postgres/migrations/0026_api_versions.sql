-- Dated versions of the API. A key and a webhook endpoint are pinned to one; an attempt has the one in which its
-- instruction will be answered, an answer the one in which it is recorded, a message the one in which it is written. Null
-- is the first version, so what is there already is of the first. And counts, kept for weeks: which keys still send
-- requests of an older version, hour by hour.
-- depends: 0025_lists

ALTER TABLE api_key ADD COLUMN api_version text;
ALTER TABLE webhook_endpoint ADD COLUMN api_version text;
ALTER TABLE attempt ADD COLUMN api_version text;
ALTER TABLE response ADD COLUMN api_version text;
ALTER TABLE outbox ADD COLUMN api_version text;

CREATE OR REPLACE VIEW answered_instruction AS
SELECT i.merchant_id, i.idempotency_key,
       coalesce(i.instruction_id, 'ins' || substr(coalesce(i.subject_id, i.payment_id),
                                                  strpos(coalesce(i.subject_id, i.payment_id), '_'))) AS instruction_id,
       i.operation, coalesce(i.path, substr(i.operation, strpos(i.operation, ' ') + 1)) AS path, i.fingerprint,
       i.fingerprint_version, i.request, i.payment_id, coalesce(i.subject_id, i.payment_id) AS subject_id, i.at, r.status,
       r.body, r.api_version
FROM instruction i
LEFT JOIN response r ON r.merchant_id = i.merchant_id AND r.idempotency_key = i.idempotency_key;

CREATE TABLE version_use (
    merchant_id text NOT NULL,
    key_id text NOT NULL,
    version text NOT NULL,
    hour timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    PRIMARY KEY (merchant_id, key_id, version, hour)
);

-- Old hours are looked for with each write.
CREATE INDEX version_use_hour ON version_use (hour);

GRANT SELECT, INSERT, UPDATE, DELETE ON version_use TO tallystick_app;
