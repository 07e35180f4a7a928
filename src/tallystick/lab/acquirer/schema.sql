CREATE TABLE IF NOT EXISTS charge (
    id TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL,
    merchant_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    payment_method TEXT NOT NULL,
    capture INTEGER NOT NULL,
    status TEXT NOT NULL,      -- pending | requires_action | authorized | captured | voided | declined | failed
    closed_by TEXT,            -- why a declined, voided or failed charge is so, and who captured but no operation
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
    status TEXT NOT NULL,      -- approved | declined | pending | requires_action | failed (was approved, and came back)
    decline_code TEXT,
    occurred_at TEXT NOT NULL,
    ready_at REAL              -- when a pending one becomes approved, seconds since the epoch
);
CREATE UNIQUE INDEX IF NOT EXISTS operation_by_key ON operation (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS operation_by_attempt ON operation (attempt_id);
CREATE INDEX IF NOT EXISTS operation_by_charge ON operation (charge_id);
CREATE INDEX IF NOT EXISTS operation_by_reference ON operation (reference);
CREATE INDEX IF NOT EXISTS operation_pending ON operation (ready_at) WHERE status = 'pending';

CREATE TABLE IF NOT EXISTS dispute (
    id TEXT PRIMARY KEY,
    charge_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    status TEXT NOT NULL,      -- opened | under_review | won | lost
    withdrawn INTEGER NOT NULL DEFAULT 0, -- what the acquirer has taken for it, by now
    reason TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS dispute_by_charge ON dispute (charge_id);

-- What will happen by itself: the first of the steps when it is due, then the rest.
CREATE TABLE IF NOT EXISTS afterwards (
    number INTEGER PRIMARY KEY,
    charge_id TEXT NOT NULL,
    reference TEXT NOT NULL,   -- of the operation, or of the dispute, that the steps are about
    steps TEXT NOT NULL,       -- separated by spaces
    due_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS afterwards_due ON afterwards (due_at);

-- What happened, each row written in the transaction of its effect.
CREATE TABLE IF NOT EXISTS event (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    operation INTEGER,         -- the operation's number, where it is about one
    departure TEXT NOT NULL,   -- at_once | duplicate | reordered | delayed | lost | forged
    body BLOB NOT NULL,        -- the very bytes that are sent
    created_at REAL NOT NULL,
    state TEXT NOT NULL,       -- waiting | delivered | given_up | lost | unsent (there was nowhere to send it)
    tries INTEGER NOT NULL DEFAULT 0,
    due_at REAL,               -- of a waiting one: when it is sent
    delivered_at REAL
);
CREATE INDEX IF NOT EXISTS event_waiting ON event (due_at) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS event_by_charge ON event (charge_id);
CREATE INDEX IF NOT EXISTS event_by_operation ON event (operation) WHERE operation IS NOT NULL;

-- Every request that left with an event, and what it was answered.
CREATE TABLE IF NOT EXISTS delivery (
    number INTEGER PRIMARY KEY,
    sequence INTEGER NOT NULL, -- of the event
    kind TEXT NOT NULL,        -- original | duplicate | forged | twin
    sent_at REAL NOT NULL,
    status INTEGER,            -- HTTP; NULL where no answer came
    latency_ms REAL NOT NULL,
    error TEXT
);

-- Days of settlement: each closes with one batch.
CREATE TABLE IF NOT EXISTS settlement_day (
    number INTEGER PRIMARY KEY,
    day TEXT NOT NULL,         -- the date that its rows are booked on
    batch TEXT NOT NULL UNIQUE,
    last_event INTEGER NOT NULL, -- the sequence number of the newest event in it
    defects TEXT NOT NULL,     -- what its files have wrong, as JSON
    carried TEXT NOT NULL,     -- rows for the next day, as JSON
    at_bank TEXT NOT NULL      -- what our bank has by the end of the day, by currency, as JSON
);

-- The very bytes that were written, under the name that they were written under.
CREATE TABLE IF NOT EXISTS settlement_file (
    name TEXT PRIMARY KEY,
    day INTEGER NOT NULL,
    content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS settlement_file_by_day ON settlement_file (day);
