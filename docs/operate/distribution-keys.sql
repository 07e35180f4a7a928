-- How the tables are spread over the servers of a sharded PostgreSQL (Citus). Run it once, as the owner of the schema,
-- after `tallystick migrate` on an empty database. Plain PostgreSQL does not need it.
--
-- A key is a column of the table's primary key and of each of its unique indexes, so that uniqueness holds on each shard
-- alone. Tables of one group have their rows of one key on one server, so that a join by the key stays there.

-- What belongs to a merchant. All that a payment changes in its own transaction is here.
SELECT create_distributed_table('merchant', 'merchant_id', colocate_with => 'none');
SELECT create_distributed_table('api_key', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('instruction', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('response', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('transition', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('rejection', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('transfer', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('balance', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('payment', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('attempt', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('refund', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('dispute', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('deadline', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('outbox', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('webhook_endpoint', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('webhook_endpoint_act', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('webhook_secret', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('message_delivery', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('message_lane', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('message_try', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('version_use', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('instruction_replay', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('rejected_case', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('erasure', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('provider_answer', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('provider_answer_key', 'merchant_id', colocate_with => 'merchant');

-- An event of a provider has no merchant until it is routed. Its key is known from its bytes alone.
SELECT create_distributed_table('inbox', 'provider_event_id', colocate_with => 'none');
SELECT create_distributed_table('delivery', 'provider_event_id', colocate_with => 'inbox');
SELECT create_distributed_table('processing', 'provider_event_id', colocate_with => 'inbox');

-- Whose charge a reference names. It is asked for by the reference alone.
SELECT create_distributed_table('provider_reference', 'reference', colocate_with => 'none');

-- Counts of rejected deliveries by the hour, and until when somebody closed them: few rows.
SELECT create_distributed_table('webhook_refusal', 'provider', colocate_with => 'none');
SELECT create_distributed_table('webhook_refusal_closing', 'provider', colocate_with => 'webhook_refusal');

-- Which keys seal, and which were given up: a few rows in all. Two processes that begin at once want the same number.
SELECT create_distributed_table('sealing_key_act', 'number', colocate_with => 'none');
-- Counts of what providers sent otherwise than it is read: few rows, joined with nothing.
SELECT create_distributed_table('contract_drift', 'provider', colocate_with => 'none');
-- Until when an account of a provider takes no calls: a row for each account.
SELECT create_distributed_table('provider_pause', 'provider', colocate_with => 'none');
-- What each process says of its circuits: a row for each account and process.
SELECT create_distributed_table('provider_circuit', 'provider', colocate_with => 'none');
-- Whose turn it is to compare rows with postings: a row for each provider.
SELECT create_distributed_table('provider_comparison', 'provider', colocate_with => 'none');
-- What each process says of its clocks: a row for each clock and process.
SELECT create_distributed_table('process_clock', 'clock', colocate_with => 'none');

-- How far rows of an older release are moved: a row for each table.
SELECT create_distributed_table('personal_move', 'moves', colocate_with => 'none');

-- What operators did and paused, releases and configurations, and the results of events: few rows.
SELECT create_distributed_table('operator_act', 'operator', colocate_with => 'none');
SELECT create_distributed_table('moved_alone', 'operator', colocate_with => 'operator_act');
SELECT create_distributed_table('deployment', 'deployment_id', colocate_with => 'none');
SELECT create_distributed_table('operator_pause', 'provider', colocate_with => 'none');
SELECT create_distributed_table('event_result', 'provider', colocate_with => 'none');

-- Numbers of the platform: a few rows, joined with nothing.
SELECT create_distributed_table('watch', 'name', colocate_with => 'none');
SELECT create_distributed_table('rate_count', 'what', colocate_with => 'none');
SELECT create_distributed_table('latency_count', 'what', colocate_with => 'none');
SELECT create_distributed_table('number_sample', 'what', colocate_with => 'none');
SELECT create_distributed_table('saved_filter', 'operator', colocate_with => 'none');
SELECT create_distributed_table('work_owner', 'item_id', colocate_with => 'none');
SELECT create_distributed_table('completeness_count', 'minute', colocate_with => 'none');

-- Alerts are the platform's: one group of rows, under the operators' id. What was sent of each, by the alert.
SELECT create_distributed_table('alert', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('alert_sending', 'alert_id', colocate_with => 'none');

-- Audit: where each sealed thing stands, by its merchant; signed heads, and few rows of the trees and looks at everything.
SELECT create_distributed_table('audit_leaf', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('audit_head', 'leaf_group', colocate_with => 'none');
SELECT create_distributed_table('audit_checkpoint', 'number', colocate_with => 'none');
SELECT create_distributed_table('audit_record', 'name', colocate_with => 'none');
SELECT create_distributed_table('audit_sweep', 'sweep_id', colocate_with => 'none');
SELECT create_distributed_table('audit_restore', 'number', colocate_with => 'none');
SELECT create_distributed_table('audit_key_rotation', 'number', colocate_with => 'none');
SELECT create_distributed_table('audit_anchor', 'target', colocate_with => 'none');
SELECT create_distributed_table('audit_position', 'name', colocate_with => 'none');
SELECT create_distributed_table('api_key_act', 'merchant_id', colocate_with => 'merchant');
-- Operators who sign in, their sessions and their tries; and what needs more than one person. Few rows, by their own keys.
SELECT create_distributed_table('operator_version', 'operator_id', colocate_with => 'none');
SELECT create_distributed_table('operator_bootstrap', 'place', colocate_with => 'none');
SELECT create_distributed_table('operator_credential', 'operator_id', colocate_with => 'operator_version');
SELECT create_distributed_table('operator_session', 'session_hash', colocate_with => 'none');
SELECT create_distributed_table('sign_in_try', 'subject', colocate_with => 'none');
SELECT create_distributed_table('approval_request', 'request_id', colocate_with => 'none');
SELECT create_distributed_table('approval_decision', 'request_id', colocate_with => 'approval_request');
SELECT create_distributed_table('approval_outcome', 'request_id', colocate_with => 'approval_request');

-- Settlement files have no merchant before they are matched: rows by their file, batches and digests by the provider.
SELECT create_distributed_table('settlement_file', 'file_id', colocate_with => 'none');
SELECT create_distributed_table('settlement_row', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settlement_bad_row', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settlement_news', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settlement_batch', 'provider', colocate_with => 'none');
SELECT create_distributed_table('settlement_digest', 'provider', colocate_with => 'settlement_batch');
SELECT create_distributed_table('settlement_report', 'provider', colocate_with => 'settlement_batch');
-- What providers agreed to charge: a few rows for each account.
SELECT create_distributed_table('fee_schedule', 'provider', colocate_with => 'none');
-- Evidence belongs to a file's row; what was posted of it, to the platform or a merchant.
SELECT create_distributed_table('settlement_evidence', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settlement_evidence_set', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settlement_evidence_sum', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('report_evidence', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('report_comparison', 'file_id', colocate_with => 'settlement_file');
SELECT create_distributed_table('settled_batch', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('settlement', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('bank_statement', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('reconciliation', 'merchant_id', colocate_with => 'merchant');
SELECT create_distributed_table('reconciliation_told', 'file_id', colocate_with => 'settlement_file');
-- Bank statements beside payouts: by the bank, and by the file of the payout.
SELECT create_distributed_table('bank_statement_name', 'provider', colocate_with => 'settlement_batch');
SELECT create_distributed_table('bank_comparison', 'provider', colocate_with => 'settlement_batch');
SELECT create_distributed_table('bank_arrival', 'payout_file_id', colocate_with => 'settlement_file');
