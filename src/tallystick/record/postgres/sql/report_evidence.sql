-- hold_report: a report whose rows are compared must still be imported when this transaction commits; how often it was
-- compared. Nothing where its rows are posted. Evidence without a comparison is of an earlier release
UPDATE settlement_file f SET state = f.state
WHERE f.file_id = $1 AND f.state = 'imported' AND f.purpose = 'compare'
RETURNING greatest(
    (SELECT coalesce(max(c.comparison), 0) FROM report_comparison c WHERE c.file_id = f.file_id),
    CASE WHEN EXISTS (SELECT 1 FROM report_evidence e WHERE e.file_id = f.file_id) THEN 1 ELSE 0 END
) AS comparisons;

-- reports_to_compare: imported reports with rows and no evidence yet, the oldest first; all evidence of a first comparison is
-- written together
SELECT f.file_id
FROM settlement_file f
WHERE f.state = 'imported' AND f.purpose = 'compare' AND f.rows > 0
  AND NOT EXISTS (SELECT 1 FROM report_evidence e WHERE e.file_id = f.file_id)
ORDER BY f.file_id;

-- open_reports: imported reports that were compared first after $1, and of which rows did not agree with the record the last
-- time; how often, and when they were compared first and last. Those that wait longest first
SELECT f.file_id, l.comparison, b.compared_at AS first_at, l.compared_at AS last_at
FROM settlement_file f
JOIN report_comparison b ON b.file_id = f.file_id AND b.comparison = 1
JOIN report_comparison l ON l.file_id = f.file_id
WHERE f.state = 'imported' AND f.purpose = 'compare' AND l.open_rows > 0 AND b.compared_at > $1 AND NOT EXISTS (
    SELECT 1 FROM report_comparison m WHERE m.file_id = l.file_id AND m.comparison > l.comparison
)
ORDER BY l.compared_at, f.file_id;

-- insert_comparison: a comparison of a report, once
INSERT INTO report_comparison (file_id, comparison, rows, open_rows, actor, compared_at) VALUES ($1, $2, $3, $4, $5, $6);

-- batches_of_report: by what its rows are read
SELECT batch, currency FROM settlement_batch WHERE file_id = $1 ORDER BY batch, currency;

-- counts_of_report: what the rows of the report $1 came to last
SELECT e.status, e.reason, count(*) AS rows
FROM report_evidence e
WHERE e.file_id = $1 AND NOT EXISTS (
    SELECT 1 FROM report_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.comparison > e.comparison
)
GROUP BY e.status, e.reason
ORDER BY e.status, e.reason;

-- exceptions_of_report: the first $2 rows of the report $1 that do not agree with the record by their last comparison; null is
-- all
SELECT e.file_id, e.position, e.comparison, e.line, e.parser_version, e.gross, e.fee, e.net, e.compared_at, e.currency, e.kind,
       e.row_key, e.status, e.reason, e.stage, e.merchant_id, e.payment_id, e.subject_id, e.row_reference, e.payment_reference,
       e.parser, e.actor, e.compared
FROM report_evidence e
WHERE e.file_id = $1 AND e.status IN ('mismatched', 'unexplained') AND NOT EXISTS (
    SELECT 1 FROM report_evidence l
    WHERE l.file_id = e.file_id AND l.position = e.position AND l.comparison > e.comparison
)
ORDER BY e.position
LIMIT $2;
