-- The dispatcher marks messages by a right on the table: not every database has rights on columns. No statement changes
-- another column, and verify compares every message with history.
-- depends: 0013_late_money_counted

REVOKE UPDATE (dispatched_at, lease_until) ON outbox FROM tallystick_app;
GRANT UPDATE ON outbox TO tallystick_app;
