-- Every subject has a stream: its payment, or itself where it stands alone under its merchant. History, refused
-- transitions, ledger and messages are kept by stream. Additive: payment_id stays as it was written, and new rows leave
-- it empty. Processes of an older release cannot write from here on: stop them first.
-- depends: 0006_webhook_refusals

ALTER TABLE transition ADD COLUMN stream_id text;
UPDATE transition SET stream_id = payment_id;
ALTER TABLE transition ALTER COLUMN stream_id SET NOT NULL, ALTER COLUMN payment_id DROP NOT NULL;

ALTER TABLE rejection ADD COLUMN stream_id text;
UPDATE rejection SET stream_id = payment_id;
ALTER TABLE rejection ALTER COLUMN stream_id SET NOT NULL, DROP CONSTRAINT rejection_pkey,
    ADD PRIMARY KEY (merchant_id, stream_id, rejection_id);
ALTER TABLE rejection ALTER COLUMN payment_id DROP NOT NULL;

ALTER TABLE transfer ADD COLUMN stream_id text;
UPDATE transfer SET stream_id = payment_id;
ALTER TABLE transfer ALTER COLUMN stream_id SET NOT NULL, DROP CONSTRAINT transfer_pkey,
    ADD PRIMARY KEY (merchant_id, stream_id, subject_id, version, leg);
ALTER TABLE transfer ALTER COLUMN payment_id DROP NOT NULL;

ALTER TABLE outbox ADD COLUMN stream_id text;
UPDATE outbox SET stream_id = payment_id;
ALTER TABLE outbox ALTER COLUMN stream_id SET NOT NULL, DROP CONSTRAINT outbox_pkey,
    ADD PRIMARY KEY (merchant_id, stream_id, version, subject_id);
ALTER TABLE outbox ALTER COLUMN payment_id DROP NOT NULL;

-- Money that arrived on a closed payment or a failed refund, by the edges late_capture and late_refund.
ALTER TABLE payment ADD COLUMN amount_late bigint NOT NULL DEFAULT 0 CHECK (amount_late >= 0);
ALTER TABLE refund ADD COLUMN amount_late bigint NOT NULL DEFAULT 0 CHECK (amount_late >= 0);
