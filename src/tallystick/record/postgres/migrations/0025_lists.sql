-- Lists of refunds, disputes, events and messages are read in the order of time, page by page, as a merchant asks for
-- them: all, in one state, or of one payment. Each order is an index, so that a page costs what is on it. Those of a
-- payment take the place of narrower ones. Messages are listed once they were dispatched: the dispatcher pays for their
-- index, and no payment waits for it.
-- depends: 0024_steps_say_less

CREATE INDEX refund_by_time ON refund (merchant_id, created_at, refund_id);
CREATE INDEX refund_by_state ON refund (merchant_id, state, created_at, refund_id);
CREATE INDEX refund_of_payment ON refund (merchant_id, payment_id, created_at, refund_id);
DROP INDEX refund_by_payment;

CREATE INDEX dispute_by_time ON dispute (merchant_id, created_at, dispute_id);
CREATE INDEX dispute_by_state ON dispute (merchant_id, state, created_at, dispute_id);
CREATE INDEX dispute_of_payment ON dispute (merchant_id, payment_id, created_at, dispute_id);
DROP INDEX dispute_by_payment;

CREATE INDEX inbox_by_time ON inbox (merchant_id, received_at, event_id) WHERE merchant_id IS NOT NULL;
CREATE INDEX inbox_of_payment ON inbox (merchant_id, payment_id, received_at, event_id) WHERE payment_id IS NOT NULL;
DROP INDEX inbox_by_payment;

CREATE INDEX outbox_by_time ON outbox (merchant_id, at, message_id) WHERE dispatched_at IS NOT NULL;
