-- Refused webhooks as work: a kind is what one account refused for one reason. It waits as long as more was counted than
-- when somebody last closed it. There is a row for each kind that was ever closed, and no more kinds than configured
-- accounts and reasons.
-- depends: 0062_comparisons_in_turns

-- hour: the newest that was counted then; n: how many of that hour.
CREATE TABLE webhook_refusal_closing (
    provider text NOT NULL,
    account text NOT NULL,
    reason text NOT NULL,
    hour timestamptz NOT NULL,
    n bigint NOT NULL CHECK (n > 0),
    act_id text NOT NULL,
    closed_at timestamptz NOT NULL,
    PRIMARY KEY (provider, account, reason)
);

GRANT SELECT, INSERT, UPDATE ON webhook_refusal_closing TO tallystick_app;
