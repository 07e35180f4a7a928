CREATE TABLE IF NOT EXISTS charge (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    capture INTEGER NOT NULL,
    status TEXT NOT NULL,      -- pending | requires_action | authorized | captured | voided | declined
    closed_by TEXT,            -- why a declined or voided charge is so
    authorized INTEGER NOT NULL DEFAULT 0,
    captured INTEGER NOT NULL DEFAULT 0,
    refunded INTEGER NOT NULL DEFAULT 0,
    ever_authorized INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS charge_by_payment ON charge (payment_id);

CREATE TABLE IF NOT EXISTS operation (
    number INTEGER PRIMARY KEY,
    reference TEXT NOT NULL,
    attempt_id TEXT NOT NULL,
    key TEXT,                  -- the idempotency key; NULL in a forgetful acquirer
    payload TEXT NOT NULL,
    operation TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    status TEXT NOT NULL,      -- approved | declined | pending | requires_action
    decline_code TEXT,
    occurred_at TEXT NOT NULL,
    ready_at REAL              -- when a pending one becomes approved, seconds since the epoch
);
CREATE UNIQUE INDEX IF NOT EXISTS operation_by_key ON operation (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS operation_by_attempt ON operation (attempt_id);
CREATE INDEX IF NOT EXISTS operation_by_charge ON operation (charge_id);
CREATE INDEX IF NOT EXISTS operation_pending ON operation (ready_at) WHERE status = 'pending';
