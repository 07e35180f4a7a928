-- Where merchants want their messages, what is on its way there, and every try.
-- depends: 0002_webhooks

CREATE TABLE webhook_endpoint (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    url text NOT NULL,
    description text,
    event_types text[], -- null: all
    state text NOT NULL,
    disabled_reason text,
    disabled_at timestamptz,
    failing_since timestamptz,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, endpoint_id)
);

-- Encrypted. The one without an end signs, and those before it until their end.
CREATE TABLE webhook_secret (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    secret_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (merchant_id, endpoint_id, secret_id)
);

-- What was done with an endpoint, by whom: append-only.
CREATE TABLE webhook_endpoint_act (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    act_id text NOT NULL,
    act text NOT NULL,
    detail text,
    actor text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (merchant_id, endpoint_id, act_id)
);

-- One message on its way to one endpoint; its body is the outbox row's. In the order in which a payment's are sent.
CREATE TABLE message_delivery (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    payment_id text NOT NULL,
    version integer NOT NULL,
    subject_id text NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL,
    state text NOT NULL,
    tries integer NOT NULL,
    resends integer NOT NULL,
    next_try_at timestamptz,
    dispatched_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (merchant_id, endpoint_id, payment_id, version, subject_id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX message_delivery_by_message ON message_delivery (merchant_id, endpoint_id, message_id);
CREATE INDEX message_delivery_log ON message_delivery (merchant_id, endpoint_id, dispatched_at, message_id);

-- What one payment still has to tell one endpoint: there while there is anything. It is what workers lease, so that
-- the messages of a payment go one after another. rung counts what was put in, so that none is overlooked.
CREATE TABLE message_lane (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    payment_id text NOT NULL,
    rung bigint NOT NULL,
    next_try_at timestamptz NOT NULL,
    lease text,
    lease_until timestamptz,
    PRIMARY KEY (merchant_id, endpoint_id, payment_id)
);
CREATE INDEX message_lane_due ON message_lane (next_try_at);
CREATE INDEX message_lane_of_endpoint ON message_lane (merchant_id, endpoint_id, next_try_at);

-- Every try at one message to one endpoint, what it came to, and who asked for more: append-only.
CREATE TABLE message_try (
    merchant_id text NOT NULL,
    endpoint_id text NOT NULL,
    message_id text NOT NULL,
    try_id text NOT NULL,
    number integer NOT NULL,
    resends integer NOT NULL,
    started_at timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    result text NOT NULL,
    status integer,
    detail text,
    actor text,
    PRIMARY KEY (merchant_id, endpoint_id, message_id, try_id)
);

GRANT SELECT, INSERT ON webhook_endpoint_act, message_try TO tallystick_app;
GRANT SELECT, INSERT, UPDATE ON webhook_endpoint, message_delivery TO tallystick_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_secret, message_lane TO tallystick_app;
