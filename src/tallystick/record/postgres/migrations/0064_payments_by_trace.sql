-- A payment is found by the trace that its merchant's request belongs to. Requests without one are in no index.
-- depends: 0062_comparisons_in_turns

CREATE INDEX instruction_by_trace ON instruction (merchant_id, substr(traceparent, 4, 32)) WHERE traceparent IS NOT NULL;
