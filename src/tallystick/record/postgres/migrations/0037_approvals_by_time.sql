-- Requests are listed by when they were asked for: the id of one that has a key of its asker follows from that key.
-- depends: 0036_approvals

CREATE INDEX approval_request_by_time ON approval_request (requested_at, request_id);
