-- Arrivals of a known event with other content, by time: an alert names the newest. There are hardly any, and no other
-- arrival has an entry.
-- depends: 0032_alerts

CREATE INDEX delivery_other_bytes ON delivery (recorded_at) WHERE result = 'other_bytes';
