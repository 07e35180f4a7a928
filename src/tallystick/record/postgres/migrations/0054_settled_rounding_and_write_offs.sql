-- What of a row's gross amount goes to nobody: rounding, and what people write off. further: the other postings of a row
-- that is several.
-- depends: 0048_settlements

ALTER TABLE settlement_evidence
    ADD COLUMN rounding bigint NOT NULL DEFAULT 0,
    ADD COLUMN written_off bigint NOT NULL DEFAULT 0,
    ADD COLUMN further json;

-- Few rows, and asked for with every other posting that is taken.
CREATE INDEX settlement_evidence_further ON settlement_evidence (file_id, position) WHERE further IS NOT NULL;

ALTER TABLE settlement_evidence_sum
    ADD COLUMN rounding numeric NOT NULL DEFAULT 0,
    ADD COLUMN written_off numeric NOT NULL DEFAULT 0;

ALTER TABLE settled_batch
    ADD COLUMN rounding bigint NOT NULL DEFAULT 0,
    ADD COLUMN written_off bigint NOT NULL DEFAULT 0;

ALTER TABLE settled_batch DROP CONSTRAINT settled_batch_check;
ALTER TABLE settled_batch ADD CONSTRAINT settled_batch_adds_up CHECK (
    net = merchants + reserve + paid_out + carried + unexplained + rounding + written_off - fees - tax
);
