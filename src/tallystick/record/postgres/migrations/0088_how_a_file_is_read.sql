-- How an import reads its file, beside the format, its version and the zone: an import that goes on under other options begins
-- anew. Null: an import of an older release, which begins anew too.
-- depends: 0085_sealing_position
ALTER TABLE settlement_file ADD COLUMN read_as text;
