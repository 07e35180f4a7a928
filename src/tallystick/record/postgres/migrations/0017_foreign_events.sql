-- Events of other software on the same account: whose an event's object is, as far as its bytes prove it. Events without a
-- payment are found by their charge when a payment gets that charge, and what was filed as foreign by when.
-- depends: 0002_webhooks 0008_dead_letter_order

ALTER TABLE inbox ADD COLUMN mark text;
CREATE INDEX inbox_unrouted ON inbox (provider, account, charge_reference)
    WHERE payment_id IS NULL AND charge_reference IS NOT NULL;
CREATE INDEX inbox_foreign ON inbox (closed_at) WHERE state = 'foreign';
