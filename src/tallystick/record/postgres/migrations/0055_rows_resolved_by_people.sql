-- What a person says of a row is its next evidence. counted_in: the set that it counts in; null: its file's.
-- depends: 0054_settled_rounding_and_write_offs

ALTER TABLE settlement_evidence ADD COLUMN counted_in text;

-- Few rows: what was superseded is found by them.
CREATE INDEX settlement_evidence_superseding ON settlement_evidence (file_id, position, supersedes)
    WHERE supersedes IS NOT NULL;
