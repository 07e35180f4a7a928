-- Erasures are taken, and listed, by when they were approved, and requests for them by when they were asked for. Each act
-- about an API key says who did it; rows of before say nobody.
-- depends: 0065_personal_keys 0067_audit_declarations 0037_approvals_by_time

CREATE INDEX erasure_by_time ON erasure (until, request_id);
CREATE INDEX erasure_unfinished_by_time ON erasure (until, request_id) WHERE finished_at IS NULL;
CREATE INDEX approval_request_of_erasures ON approval_request (requested_at, request_id)
    WHERE act IN ('payment.erase', 'merchant.erase');

ALTER TABLE api_key_act ADD COLUMN actor text;
