-- Which posting has which settlement row, said in one place: whoever asks whether a posting is taken, or covered, asks this.
-- depends: 0062_comparisons_in_turns

-- By the newest evidence of each row, with every posting of a row that is several. covers: of that posting alone.
CREATE VIEW covered_posting AS
SELECT e.merchant_id, e.payment_id, e.subject_id, e.subject_version, e.leg,
       CASE WHEN e.further IS NULL THEN e.covers ELSE (
           SELECT e.covers - coalesce(sum(j.covers), 0) FROM json_to_recordset(e.further) AS j (covers bigint)
       )::bigint END AS covers,
       e.reason, e.status, e.file_id, e.position
FROM settlement_evidence e
WHERE e.merchant_id IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
)
UNION ALL
SELECT e.merchant_id, e.payment_id, j.subject_id, j.subject_version, j.leg, j.covers, e.reason, e.status, e.file_id, e.position
FROM settlement_evidence e
CROSS JOIN json_to_recordset(e.further) AS j (subject_id text, subject_version integer, leg integer, covers bigint)
WHERE e.further IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM settlement_evidence l
    WHERE l.supersedes IS NOT NULL AND l.file_id = e.file_id AND l.position = e.position AND l.supersedes = e.version
);

GRANT SELECT ON covered_posting TO tallystick_app;
