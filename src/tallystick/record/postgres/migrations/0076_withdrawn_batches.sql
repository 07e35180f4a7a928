-- A settled batch of which every file was withdrawn. What was withdrawn of a file is its rows' next evidence.
-- depends: 0074_erasures_by_time

ALTER TABLE settled_batch DROP CONSTRAINT settled_batch_state_check;
ALTER TABLE settled_batch ADD CONSTRAINT settled_batch_has_state CHECK (state IN ('posting', 'posted', 'withdrawn'));
