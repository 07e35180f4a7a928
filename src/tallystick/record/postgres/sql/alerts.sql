-- alert: one by its id
SELECT * FROM alert WHERE merchant_id = $1 AND alert_id = $2;

-- alerts: all of them, by id: as many as conditions and what they are about
SELECT * FROM alert WHERE merchant_id = $1 ORDER BY alert_id;

-- alerts_unresolved: those that are not resolved, by id
SELECT * FROM alert WHERE merchant_id = $1 AND state <> 'resolved' ORDER BY alert_id;

-- alert_history: the steps of one
SELECT version, from_state, to_state, event, actor, at, change FROM history
WHERE merchant_id = $1 AND subject_id = $2
ORDER BY version;

-- sendings: how far each target is with each alert ($1: targets)
SELECT alert_id, target, version, failed, next_try_at FROM alert_sending WHERE target = ANY ($1::text[])
ORDER BY alert_id, target;

-- note_sending: a target took the version $3, or failed $4 times in a row and is tried again at $5
INSERT INTO alert_sending (alert_id, target, version, failed, next_try_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (alert_id, target) DO UPDATE
SET version = excluded.version, failed = excluded.failed, next_try_at = excluded.next_try_at
WHERE alert_sending.version <= excluded.version;
