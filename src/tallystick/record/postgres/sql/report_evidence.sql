-- hold_report: a report whose rows are compared must still be imported when this transaction commits; nothing where it
-- was compared, or where its rows are posted
UPDATE settlement_file f SET state = f.state
WHERE f.file_id = $1 AND f.state = 'imported' AND f.purpose = 'compare'
RETURNING EXISTS (SELECT 1 FROM report_evidence e WHERE e.file_id = f.file_id) AS compared;

-- reports_to_compare: imported reports with rows and no evidence yet, the oldest first; all evidence of one is written
-- together
SELECT f.file_id
FROM settlement_file f
WHERE f.state = 'imported' AND f.purpose = 'compare' AND f.rows > 0
  AND NOT EXISTS (SELECT 1 FROM report_evidence e WHERE e.file_id = f.file_id)
ORDER BY f.file_id;

-- batches_of_report: by what its rows are read
SELECT batch, currency FROM settlement_batch WHERE file_id = $1 ORDER BY batch, currency;

-- counts_of_report: what the rows of the report $1 came to
SELECT status, reason, count(*) AS rows
FROM report_evidence
WHERE file_id = $1
GROUP BY status, reason
ORDER BY status, reason;

-- exceptions_of_report: the first $2 rows of the report $1 that do not agree with the record
SELECT file_id, position, line, parser_version, gross, fee, net, compared_at, currency, kind, row_key, status, reason, stage,
       merchant_id, payment_id, subject_id, row_reference, payment_reference, parser, actor, compared
FROM report_evidence
WHERE file_id = $1 AND status IN ('mismatched', 'unexplained')
ORDER BY position
LIMIT $2;
