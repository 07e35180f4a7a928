"""Ways to break the record by hand, as its owner, and the invariant that each must be caught by."""

from __future__ import annotations

from typing import NamedTuple


class Break(NamedTuple):
    """SQL whose {names} are the fields of ``Sample``, and what it breaks."""

    invariant: str
    how: str
    statement: str


_OF = "WHERE merchant_id = '{merchant}' AND"

#: As long as a sealed value, and named after a key that is registered nowhere.
_BY_ANOTHER_KEY = "decode('01ffffffff' || repeat('00', 40), 'hex')"

#: A posted batch that says nothing moved; {rows} and {merchants} are what it says.
_BATCH = (
    "INSERT INTO settled_batch VALUES ('operators', 'stb_broken', 1, 'posted', 'simulator', 'main', 'po_1', 'EUR',"
    " '[\"stl_1\"]', '[\"root\"]', {rows}, {merchants}, {merchants}, 0, 0, 0, 0, 0, 0, now(), now())"
)

#: A merchant's part of it.
_PART = (
    "INSERT INTO settlement VALUES ('{{merchant}}', 'stm_broken', 1, 'posted', '{batch}', 'simulator', 'main', 'po_1',"
    " 'EUR', 1, {charges}, 0, 0, 0, 0, 0, 0, 0, now(), now())"
)

#: A bank statement; {entries} and {arrived} are what it says.
_STATEMENT = (
    "INSERT INTO bank_comparison VALUES ('bank', 'main', 'S1', 'EUR', 1, 0, 'root', now());"
    " INSERT INTO bank_statement VALUES ('operators', 'bst_broken', 1, 'posted', 'bank', 'main', 'S1', 'EUR', 1,"
    ' \'root\', {entries}, {arrived}, {arrived}, \'[{{{{"provider": "simulator", "amount": {arrived}}}}}]\', 0, 0,'
    " now(), now())"
)

#: Evidence of one row of it: a charge of 1,000 of the merchant.
_EVIDENCE = (
    "INSERT INTO settlement_evidence (file_id, position, version, line, gross, fee, net, covers, difference, tolerance,"
    " compared_at, parser_version, batch, currency, kind, row_key, status, reason, stage, part, merchant_id, parser,"
    " actor, compared) VALUES ('stl_1', 1, 1, 2, 1000, 0, 1000, 1000, 0, 0, now(), 1, 'po_1', 'EUR', 'charge', 'k',"
    " 'matched', 'same', 'provider_reference', 'charges', '{merchant}', 'simulator', 'test', '{{}}')"
)

#: A kept answer of a provider's, and its key. {subject} and {version} are the step that it says that it explains.
_ANSWER = (
    "INSERT INTO provider_answer VALUES ('{{merchant}}', '{{declined}}', 'chg_x', 'att_x', 'call', 402, 3, now(),"
    " '{subject}', {version}, NULL, {sealed})"
)
_ANSWER_KEY = "INSERT INTO provider_answer_key VALUES ('{merchant}', '{declined}', 'chg_x', {key}, {erased_by})"
_SOME_KEY = _ANSWER_KEY.replace("{key}", "decode(repeat('00', 16), 'hex')").replace("{erased_by}", "NULL")
_SOME_ANSWER = _ANSWER.format(subject="{declined}", version=1, sealed="'sealed'::bytea")

BREAKS = (
    Break(
        "balances_equal_transfers", "a balance", f"UPDATE balance SET credits = credits + 1 {_OF} account = 'merchant'"
    ),
    Break("balances_equal_transfers", "no balance", f"DELETE FROM balance {_OF} account = 'merchant'"),
    Break("balances_equal_transfers", "a lost transfer", f"DELETE FROM transfer {_OF} stream_id = '{{captured}}'"),
    Break(
        "balances_equal_transfers",
        "an account nobody posted to",
        "INSERT INTO balance VALUES ('{merchant}', 'bank', 'EUR', 5, 5)",
    ),
    Break("debits_equal_credits", "one side", f"UPDATE balance SET debits = debits + 1 {_OF} account = 'merchant'"),
    Break("transfers_have_transitions", "lost history", f"DELETE FROM transition {_OF} subject_id = '{{captured}}'"),
    Break(
        "transfers_have_transitions",
        "a version of nobody's",
        f"UPDATE transfer SET version = version + 7 {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "transfers_have_transitions",
        "of another stream",
        f"UPDATE transfer SET stream_id = '{{declined}}' {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "transfers_have_transitions",
        "of no stream",
        f"UPDATE transfer SET stream_id = 'pay_nobody' {_OF} stream_id = '{{captured}}'",
    ),
    Break("postings_follow_the_chart", "amount", f"UPDATE transfer SET amount = 999 {_OF} stream_id = '{{captured}}'"),
    Break("postings_follow_the_chart", "kind", f"UPDATE transfer SET kind = 'gift' {_OF} stream_id = '{{captured}}'"),
    Break(
        "postings_follow_the_chart",
        "account",
        f"UPDATE transfer SET credit = 'bank' {_OF} stream_id = '{{captured}}'",
    ),
    Break("postings_follow_the_chart", "none", f"DELETE FROM transfer {_OF} subject_id = '{{refund}}' AND version = 1"),
    Break(
        "postings_follow_the_chart",
        "once more",
        "INSERT INTO transfer"
        " SELECT merchant_id, payment_id, subject_id, version, leg + 1, kind, debit, credit, amount, currency, at,"
        " stream_id"
        f" FROM transfer {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "postings_follow_the_chart",
        "late money of another amount",
        "UPDATE transition SET change = '{{\"amount_late\": 7}}'"
        f" {_OF} subject_id = '{{late}}' AND event = 'late_capture'",
    ),
    Break("postings_follow_the_chart", "late money", f"UPDATE transfer SET amount = 7 {_OF} stream_id = '{{late}}'"),
    Break(
        "exponents_are_unchanged",
        "at the provider",
        f"UPDATE payment SET exponent = 2, provider_exponent = 3 {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "exponents_are_unchanged",
        "of late money that is in suspense",
        f"UPDATE payment SET exponent = 3, provider_exponent = 3 {_OF} payment_id = '{{late}}'",
    ),
    Break("holds_match", "too little", f"UPDATE transfer SET amount = 7 {_OF} stream_id = '{{authorized}}'"),
    Break("holds_match", "not released", f"DELETE FROM transfer {_OF} stream_id = '{{canceled}}' AND kind = 'release'"),
    Break(
        "holds_match",
        "expired in state only",
        f"UPDATE payment SET state = 'expired' {_OF} payment_id = '{{authorized}}'",
    ),
    Break("captured_money_is_owed", "less", f"UPDATE transfer SET amount = 7 {_OF} stream_id = '{{captured}}'"),
    Break(
        "captured_money_is_owed",
        "provider's side",
        f"UPDATE transfer SET debit = 'bank' {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "refunds_in_flight_match",
        "forgotten",
        f"UPDATE payment SET amount_refund_pending = 0 {_OF} payment_id = '{{refund_pending}}'",
    ),
    Break("refunds_in_flight_match", "stuck", f"DELETE FROM transfer {_OF} subject_id = '{{refund}}' AND version = 2"),
    Break(
        "disputed_money_is_known",
        "a movement of unknown amount",
        'UPDATE dispute SET movements = \'[{{"reference":"mv_9","funds":"returned","amount":null,'
        '"before_verdict":false,"moved_amount":12,"moved_currency":"GBP"}}]\''
        f" {_OF} dispute_id = '{{dispute}}'",
    ),
    Break("suspense_is_explained", "no alert", f"UPDATE rejection SET alert = false {_OF} stream_id = '{{late}}'"),
    Break("suspense_is_explained", "no rejection", f"DELETE FROM rejection {_OF} stream_id = '{{late}}'"),
    Break(
        "suspense_is_explained",
        "no late effect",
        f"UPDATE transfer SET debit = 'suspense:simulator' {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "captured_within_authorized",
        "captured too much",
        "ALTER TABLE payment DROP CONSTRAINT payment_check;"
        f"UPDATE payment SET amount_authorized = 1 {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "captured_within_authorized",
        "held too much",
        f"UPDATE payment SET amount_authorized = amount + 1 {_OF} payment_id = '{{authorized}}'",
    ),
    Break(
        "refunds_within_captured",
        "more than captured",
        "ALTER TABLE payment DROP CONSTRAINT payment_refunds_check;"
        f"UPDATE payment SET amount_refunded = amount + 1 {_OF} payment_id = '{{refunded}}'",
    ),
    Break("refunds_within_captured", "another sum", f"UPDATE refund SET amount = 401 {_OF} refund_id = '{{refund}}'"),
    Break("refunds_within_captured", "a lost refund", f"DELETE FROM refund {_OF} refund_id = '{{refund}}'"),
    Break("one_currency_per_payment", "refund", f"UPDATE refund SET currency = 'USD' {_OF} refund_id = '{{refund}}'"),
    Break(
        "one_currency_per_payment", "attempt", f"UPDATE attempt SET currency = 'USD' {_OF} payment_id = '{{captured}}'"
    ),
    Break(
        "one_currency_per_payment",
        "transfer",
        f"UPDATE transfer SET currency = 'USD' {_OF} stream_id = '{{captured}}'",
    ),
    Break(
        "one_currency_per_payment",
        "provider",
        f"UPDATE attempt SET provider = 'other' {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "history_replays_to_state", "payment", f"UPDATE payment SET description = 'x' {_OF} payment_id = '{{captured}}'"
    ),
    Break(
        "history_replays_to_state", "moment", f"UPDATE payment SET updated_at = now() {_OF} payment_id = '{{captured}}'"
    ),
    Break(
        "history_replays_to_state", "failure", f"UPDATE payment SET failure = null {_OF} payment_id = '{{declined}}'"
    ),
    Break("history_replays_to_state", "refund", f"UPDATE refund SET reason = 'x' {_OF} refund_id = '{{refund}}'"),
    Break(
        "history_replays_to_state", "attempt", f"UPDATE attempt SET submissions = 9 {_OF} payment_id = '{{captured}}'"
    ),
    Break("history_replays_to_state", "none", f"DELETE FROM transition {_OF} subject_id = '{{captured}}'"),
    Break(
        "history_replays_to_state",
        "a field nobody has",
        f"UPDATE transition SET change = '{{{{\"colour\": 1}}}}' {_OF} subject_id = '{{captured}}' AND version = 2",
    ),
    Break(
        "history_replays_to_state",
        "an unreadable value",
        'UPDATE transition SET change = \'{{"amount_captured": "x"}}\''
        f" {_OF} subject_id = '{{captured}}' AND version = 2",
    ),
    Break(
        "history_replays_to_state",
        "a step without the lead of its change",
        f"UPDATE transition SET lead_version = 9 {_OF} stream_id = '{{captured}}' AND version = 2",
    ),
    Break(
        "history_replays_to_state",
        "a first step that leaves out what is no default",
        f"UPDATE transition SET change = '{{{{}}}}' {_OF} subject_id = '{{captured}}' AND version = 1",
    ),
    Break(
        "legal_edges_only",
        "no such edge",
        f"UPDATE transition SET to_state = 'expired' {_OF} subject_id = '{{captured}}' AND version = 2",
    ),
    Break("legal_edges_only", "no such event", f"UPDATE transition SET event = 'x' {_OF} subject_id = '{{refund}}'"),
    Break(
        "legal_edges_only",
        "starts elsewhere",
        f"UPDATE transition SET from_state = 'requires_action' {_OF} subject_id = '{{captured}}' AND version = 2",
    ),
    Break("versions_without_gaps", "gap", f"DELETE FROM transition {_OF} subject_id = '{{captured}}' AND version = 1"),
    Break("versions_without_gaps", "ahead", f"UPDATE payment SET version = 3 {_OF} payment_id = '{{captured}}'"),
    Break("versions_without_gaps", "behind", f"UPDATE attempt SET version = 1 {_OF} payment_id = '{{captured}}'"),
    Break("rejections_met_history", "state", f"UPDATE rejection SET state = 'expired' {_OF} stream_id = '{{refused}}'"),
    Break("rejections_met_history", "version", f"UPDATE rejection SET version = 99 {_OF} stream_id = '{{refused}}'"),
    Break(
        "claimed_instructions_have_subject", "no claim", f"DELETE FROM instruction {_OF} payment_id = '{{captured}}'"
    ),
    Break("claimed_instructions_have_subject", "no payment", f"DELETE FROM payment {_OF} payment_id = '{{captured}}'"),
    Break("claimed_instructions_have_subject", "no refund", f"DELETE FROM refund {_OF} refund_id = '{{refund}}'"),
    Break("claimed_instructions_have_subject", "no attempt", f"DELETE FROM attempt {_OF} payment_id = '{{captured}}'"),
    Break("claimed_instructions_have_subject", "no refusal", f"DELETE FROM rejection {_OF} stream_id = '{{refused}}'"),
    Break(
        "claimed_instructions_have_subject",
        "another subject",
        f"UPDATE instruction SET subject_id = payment_id {_OF} subject_id = '{{refund}}'",
    ),
    Break(
        "claimed_instructions_have_subject",
        "no key",
        f"UPDATE attempt SET idempotency_key = NULL {_OF} payment_id = '{{captured}}'",
    ),
    Break("final_instructions_answered", "no answer", f"DELETE FROM response {_OF} idempotency_key = 'captured'"),
    Break(
        "final_instructions_answered",
        "refusal without answer",
        f"DELETE FROM response {_OF} idempotency_key = 'capture-{{refused}}'",
    ),
    Break(
        "final_instructions_answered",
        "answered too early",
        "INSERT INTO response SELECT merchant_id, 'unknown', status, body, at"
        f" FROM response {_OF} idempotency_key = 'captured'",
    ),
    Break(
        "final_instructions_answered", "status", f"UPDATE response SET status = 500 {_OF} idempotency_key = 'captured'"
    ),
    Break("final_instructions_answered", "body", f"UPDATE response SET body = 'x' {_OF} idempotency_key = 'captured'"),
    Break(
        "final_instructions_answered",
        "another's body",
        f"UPDATE response SET body = (SELECT body FROM response {_OF} idempotency_key = 'refunded')"
        f" {_OF} idempotency_key = 'captured'",
    ),
    Break(
        "final_instructions_answered",
        "another amount",
        "UPDATE response SET body = replace(convert_from(body, 'UTF8'), '\"amount_captured\":1000',"
        f" '\"amount_captured\":999')::bytea {_OF} idempotency_key = 'captured'",
    ),
    Break(
        "final_instructions_answered",
        "refusal of another payment",
        "UPDATE response SET body = replace(convert_from(body, 'UTF8'), '{refused}', '{captured}')::bytea"
        f" {_OF} idempotency_key = 'capture-{{refused}}'",
    ),
    Break(
        "one_effect_per_instruction",
        "two effects",
        "CREATE TEMP TABLE twin ON COMMIT DROP AS"
        f" SELECT * FROM attempt {_OF} payment_id = '{{captured}}';"
        "UPDATE twin SET attempt_id = 'att_twin', provider_key = 'other'; INSERT INTO attempt SELECT * FROM twin",
    ),
    Break(
        "one_effect_per_instruction",
        "one provider key",
        f"UPDATE attempt SET provider_key = 'same' {_OF} payment_id = '{{refunded}}'",
    ),
    Break(
        "one_payment_per_charge",
        "shared",
        f"UPDATE payment SET provider_reference = 'ch_{{captured}}' {_OF} payment_id = '{{refunded}}'",
    ),
    Break(
        "waiting_subjects_have_open_attempts",
        "payment",
        f"UPDATE payment SET state = 'authorizing' {_OF} payment_id = '{{declined}}'",
    ),
    Break(
        "waiting_subjects_have_open_attempts",
        "refund",
        f"UPDATE refund SET state = 'submitting' {_OF} refund_id = '{{refund}}'",
    ),
    Break(
        "waiting_subjects_have_open_attempts",
        "another operation",
        f"UPDATE attempt SET operation = 'cancel' {_OF} payment_id = '{{unknown}}'",
    ),
    Break(
        "open_attempts_are_awaited",
        "payment moved on",
        "UPDATE attempt SET state = 'unknown', next_check_at = now(), settled_after = now() - interval '1 day'"
        f" {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "open_attempts_are_awaited",
        "refund moved on",
        "UPDATE attempt SET state = 'unknown', next_check_at = now(), settled_after = now() - interval '1 day'"
        f" {_OF} refund_id = '{{refund}}'",
    ),
    Break(
        "open_attempts_are_watched", "lost", f"UPDATE attempt SET next_check_at = NULL {_OF} payment_id = '{{unknown}}'"
    ),
    Break(
        "open_attempts_are_watched", "both", f"UPDATE attempt SET parked_at = now() {_OF} payment_id = '{{unknown}}'"
    ),
    Break(
        "open_attempts_are_watched",
        "closed",
        f"UPDATE attempt SET next_check_at = now() {_OF} payment_id = '{{captured}}'",
    ),
    Break("holds_are_watched", "no deadline", f"DELETE FROM deadline {_OF} payment_id = '{{authorized}}'"),
    Break(
        "in_doubt_lane_has_no_overdue",
        "too old",
        f"UPDATE attempt SET parked_at = now() - interval '3601 s' {_OF} payment_id = '{{parked}}'",
    ),
    Break(
        "postings_follow_the_chart",
        "a dispute's",
        f"UPDATE transfer SET amount = 7 {_OF} subject_id = '{{dispute}}' AND version = 2",
    ),
    Break(
        "postings_follow_the_chart",
        "money after a verdict",
        f"DELETE FROM transfer {_OF} subject_id = '{{won_dispute}}' AND version = 4",
    ),
    Break(
        "postings_follow_the_chart",
        "a refund that came back",
        f"DELETE FROM transfer {_OF} subject_id = '{{refund_back}}' AND kind = 'refund_reversed'",
    ),
    Break(
        "captured_money_is_owed",
        "a capture that never came",
        f"DELETE FROM transfer {_OF} stream_id = '{{capture_reversed}}' AND kind = 'capture_reversed'",
    ),
    Break(
        "captured_money_is_owed",
        "a dispute that cost nothing",
        f"UPDATE dispute SET state = 'won' {_OF} dispute_id = '{{lost_dispute}}'",
    ),
    Break(
        "captured_money_is_owed",
        "a withdrawal forgotten",
        f"UPDATE dispute SET funds_withdrawn = false {_OF} dispute_id = '{{dispute}}'",
    ),
    Break(
        "suspense_is_explained",
        "no alert of a dispute",
        f"UPDATE rejection SET alert = false {_OF} stream_id = '{{dispute_won}}'",
    ),
    Break(
        "suspense_is_explained",
        "a dispute's movement that is not posted",
        f'UPDATE dispute SET movements = \'[{{{{"reference":"mv_9","funds":"withdrawn","amount":1000,'
        f"\"before_verdict\":false}}}}]' {_OF} dispute_id = '{{contested_dispute}}'",
    ),
    Break(
        "captured_money_is_owed",
        "a contested dispute taken for a won one",
        f"UPDATE dispute SET contested = false {_OF} dispute_id = '{{contested_dispute}}'",
    ),
    Break(
        "postings_follow_the_chart",
        "a contested dispute",
        f"UPDATE transfer SET amount = 7 {_OF} subject_id = '{{contested_dispute}}' AND kind = 'dispute_contested'",
    ),
    Break(
        "refunds_within_captured",
        "a lost dashboard refund",
        f"DELETE FROM refund {_OF} refund_id = '{{dashboard_refund}}'",
    ),
    Break(
        "one_currency_per_payment",
        "dispute",
        f"UPDATE dispute SET currency = 'USD' {_OF} dispute_id = '{{dispute}}'",
    ),
    Break("history_replays_to_state", "dispute", f"UPDATE dispute SET reason = 'x' {_OF} dispute_id = '{{dispute}}'"),
    Break(
        "legal_edges_only",
        "a dispute's verdict twice",
        f"UPDATE transition SET event = 'won', to_state = 'won' {_OF} subject_id = '{{lost_dispute}}' AND version = 2",
    ),
    Break(
        "versions_without_gaps", "dispute", f"DELETE FROM transition {_OF} subject_id = '{{dispute}}' AND version = 1"
    ),
    Break(
        "disputes_are_reserved",
        "no reserve",
        f"DELETE FROM transfer {_OF} subject_id = '{{dispute}}' AND kind = 'dispute_reserve'",
    ),
    Break(
        "disputes_are_reserved",
        "a reserve of nothing",
        f"DELETE FROM transfer {_OF} subject_id = '{{won_dispute}}' AND kind = 'dispute_released'",
    ),
    Break(
        "disputes_are_reserved",
        "withdrawn too little",
        f"UPDATE transfer SET amount = 7 {_OF} subject_id = '{{dispute}}' AND kind = 'dispute_withdrawn'",
    ),
    Break(
        "disputes_are_reserved",
        "lost in state only",
        f"UPDATE dispute SET state = 'lost' {_OF} dispute_id = '{{dispute}}'",
    ),
    Break("disputes_are_reserved", "a lost dispute", f"DELETE FROM dispute {_OF} dispute_id = '{{dispute}}'"),
    Break("steps_are_told", "nobody", f"DELETE FROM outbox {_OF} stream_id = '{{captured}}'"),
    Break("steps_are_told", "no dispute", f"DELETE FROM outbox {_OF} subject_id = '{{lost_dispute}}'"),
    Break("steps_are_told", "another type", f"UPDATE outbox SET type = 'x' {_OF} stream_id = '{{captured}}'"),
    Break(
        "steps_are_told",
        "another version",
        f"UPDATE outbox SET version = version + 1 {_OF} subject_id = '{{captured}}'",
    ),
    Break(
        "steps_are_told",
        "another answer",
        f"UPDATE outbox SET answer_key = 'refunded' {_OF} subject_id = '{{captured}}'",
    ),
    Break(
        "steps_are_told",
        "another time",
        f"UPDATE outbox SET at = at + interval '1 second' {_OF} subject_id = '{{captured}}'",
    ),
    Break("steps_are_told", "another id", f"UPDATE outbox SET message_id = 'x' {_OF} subject_id = '{{captured}}'"),
    Break(
        "steps_are_told",
        "a newer state",
        "UPDATE outbox SET body = replace(convert_from(body, 'UTF8'), '\"state\":\"opened\"',"
        f" '\"state\":\"lost\"')::bytea {_OF} subject_id = '{{dispute}}'",
    ),
    Break(
        "steps_are_told",
        "what did not happen",
        "INSERT INTO outbox"
        " SELECT merchant_id, NULL, version, 're_nobody', 'msg_x', type, ''::bytea, at, NULL, NULL, stream_id"
        f" FROM outbox {_OF} subject_id = '{{captured}}'",
    ),
    Break(
        "events_have_their_story",
        "no arrival",
        "DELETE FROM delivery WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "no first arrival",
        "UPDATE delivery SET result = 'duplicate' WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "no event",
        "DELETE FROM inbox WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "closed by nobody",
        "DELETE FROM processing WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "closed as something else",
        "UPDATE inbox SET state = 'stale' WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "without its effect",
        "UPDATE processing SET change_id = 'chg_nobody' WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "applied without a change",
        "UPDATE processing SET change_id = NULL WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "forgotten",
        "UPDATE inbox SET state = 'unroutable' WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "events_have_their_story",
        "dead without a try",
        "DELETE FROM processing WHERE provider_event_id = '{merchant}-nowhere'",
    ),
    Break(
        "open_events_have_no_overdue",
        "no worker",
        "UPDATE inbox SET state = 'unroutable', next_try_at = now() - interval '3601 s', closed_at = NULL"
        " WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "dead_letters_have_no_overdue",
        "overlooked",
        "UPDATE inbox SET closed_at = now() - interval '3601 s' WHERE provider_event_id = '{merchant}-nowhere'",
    ),
    Break(
        "dead_letters_have_no_overdue",
        "dead since nobody knows when",
        "UPDATE inbox SET closed_at = NULL WHERE provider_event_id = '{merchant}-nowhere'",
    ),
    Break(
        "foreign_events_are_not_ours",
        "of a payment",
        "UPDATE inbox SET state = 'foreign' WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "foreign_events_are_not_ours",
        "with our mark",
        "UPDATE inbox SET state = 'foreign', payment_id = NULL, mark = 'ours'"
        " WHERE provider_event_id = '{merchant}-nowhere'",
    ),
    Break(
        "foreign_events_are_not_ours",
        "of a charge that a payment has",
        "WITH known AS (INSERT INTO provider_reference VALUES ('simulator', 'main', 'ch_known', '{merchant}',"
        " '{captured}')) UPDATE inbox SET state = 'foreign', payment_id = NULL, charge_reference = 'ch_known',"
        " closed_at = now() - interval '121 s' WHERE provider_event_id = '{merchant}-nowhere'",
    ),
    Break("nothing_is_orphaned", "dispute", f"DELETE FROM dispute {_OF} dispute_id = '{{dispute}}'"),
    Break(
        "nothing_is_orphaned", "of a dispute", f"UPDATE dispute SET payment_id = 'x' {_OF} dispute_id = '{{dispute}}'"
    ),
    Break("nothing_is_orphaned", "message", f"UPDATE outbox SET stream_id = 'x' {_OF} subject_id = '{{captured}}'"),
    Break(
        "nothing_is_orphaned",
        "reference",
        "INSERT INTO provider_reference VALUES ('simulator', 'main', 'ch_nobody', '{merchant}', 'pay_nobody')",
    ),
    Break(
        "nothing_is_orphaned",
        "history in no stream",
        f"UPDATE transition SET stream_id = 'pay_nobody' {_OF} stream_id = '{{captured}}'",
    ),
    Break("nothing_is_orphaned", "payment", f"DELETE FROM payment {_OF} payment_id = '{{declined}}'"),
    Break("nothing_is_orphaned", "refund", f"DELETE FROM refund {_OF} refund_id = '{{refund}}'"),
    Break("nothing_is_orphaned", "attempt", f"DELETE FROM attempt {_OF} payment_id = '{{captured}}'"),
    Break("nothing_is_orphaned", "instruction", f"DELETE FROM instruction {_OF} idempotency_key = 'captured'"),
    Break(
        "nothing_is_orphaned",
        "deadline",
        "INSERT INTO deadline VALUES ('{merchant}', 'pay_nobody', now(), 0)",
    ),
    Break("alerts_have_cases", "no case", f"DELETE FROM rejected_case {_OF} from_stream_id = '{{late}}'"),
    Break("alerts_have_cases", "no rejection", f"DELETE FROM rejection {_OF} stream_id = '{{late}}'"),
    Break(
        "acts_have_their_change",
        "of nothing",
        "INSERT INTO operator_act VALUES ('key:kim', 'k', 'opa_1', 'case.ignore', 'case_1', '{merchant}', NULL, '{{}}',"
        " '', 'why', NULL, 'chg_1', '{{}}', now())",
    ),
    Break("history_is_append_only", "acts", "GRANT UPDATE ON operator_act TO tallystick_app"),
    Break("history_is_append_only", "deployments", "GRANT DELETE ON deployment TO tallystick_app"),
    Break("history_is_append_only", "update", "GRANT UPDATE ON transition TO tallystick_app"),
    Break("history_is_append_only", "delete", "GRANT DELETE ON rejection TO PUBLIC"),
    Break("history_is_append_only", "truncate", "GRANT TRUNCATE ON transfer TO tallystick_app"),
    Break("history_is_append_only", "one column", "GRANT UPDATE (body) ON response TO tallystick_app"),
    Break("history_is_append_only", "arrivals", "GRANT UPDATE ON delivery TO tallystick_app"),
    Break("history_is_append_only", "tries", "GRANT DELETE ON processing TO tallystick_app"),
    Break("history_is_append_only", "references", "GRANT UPDATE ON provider_reference TO tallystick_app"),
    Break("history_is_append_only", "messages", "GRANT DELETE ON outbox TO tallystick_app"),
    Break("history_is_append_only", "tries of messages", "GRANT UPDATE ON message_try TO tallystick_app"),
    Break("history_is_append_only", "acts", "GRANT DELETE ON webhook_endpoint_act TO tallystick_app"),
    Break("history_is_append_only", "sealing keys", "GRANT UPDATE ON sealing_key_act TO tallystick_app"),
    Break("settlements_have_evidence", "a batch without evidence", _BATCH.format(rows=1, merchants=0)),
    Break(
        "settlements_have_evidence",
        "evidence that was not posted",
        f"{_BATCH.format(rows=0, merchants=0)}; {_EVIDENCE}",
    ),
    Break(
        "settlements_have_evidence",
        "a part of another amount, and without transfers",
        f"{_BATCH.format(rows=1, merchants=1000)}; {_EVIDENCE}; {_PART.format(batch='stb_broken', charges=999)}",
    ),
    Break("statements_have_evidence", "a statement without evidence", f"{_STATEMENT.format(entries=1, arrived=0)}"),
    Break(
        "statements_have_evidence",
        "a statement of an arrival that no payout is, and without transfers",
        f"{_STATEMENT.format(entries=0, arrived=900)}",
    ),
    Break(
        "statements_have_evidence",
        "a transfer of no statement",
        "INSERT INTO transfer (merchant_id, stream_id, subject_id, version, leg, kind, debit, credit, amount, currency,"
        " at) VALUES ('operators', 'bst_none', 'bst_none', 1, 1, 'bank_unexplained', 'bank:main',"
        " 'unexplained:bank:main', 7, 'EUR', now())",
    ),
    Break("settlements_have_evidence", "a part without a batch", _PART.format(batch="stb_none", charges=0)),
    Break(
        "erased_on_request",
        "personal fields",
        "UPDATE payment SET personal_key = NULL, description = '[erased]',"
        f" metadata = '{{{{\"[erased]\":\"[erased]\"}}}}' {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "erased_on_request",
        "by a request that nobody approved",
        f"UPDATE payment SET erased_by = 'apr_none' {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "bytes_erased_on_request",
        "kept bytes",
        "UPDATE inbox SET raw_key = NULL WHERE provider_event_id = '{merchant}-0'",
    ),
    Break(
        "sealed_values_have_a_key",
        "an endpoint's secret",
        f"INSERT INTO webhook_secret VALUES ('{{merchant}}', 'we_x', 'sec_x', {_BY_ANOTHER_KEY}, now())",
    ),
    Break(
        "sealed_values_have_a_key",
        "a secret in clear",
        "INSERT INTO webhook_secret VALUES ('{merchant}', 'we_x', 'sec_x', 'whsec_'::bytea, now())",
    ),
    Break(
        "sealed_values_have_a_key",
        "kept bytes",
        f"UPDATE delivery SET sealed = {_BY_ANOTHER_KEY} WHERE provider_event_id = '{{merchant}}-0'",
    ),
    Break(
        "sealed_values_have_a_key",
        "kept bytes in clear",
        "UPDATE delivery SET sealed = 'a'::bytea WHERE provider_event_id = '{merchant}-0'",
    ),
    Break("answers_are_named", "an answer that no step names", f"{_SOME_KEY}; {_SOME_ANSWER}"),
    Break(
        "answers_are_named",
        "an answer of no step",
        f"{_SOME_KEY}; {_ANSWER.format(subject='pay_none', version=7, sealed=_BY_ANOTHER_KEY)}",
    ),
    Break("answers_are_named", "an answer without its key", _SOME_ANSWER),
    Break("answers_are_named", "a key without its answer", _SOME_KEY),
    Break(
        "answers_erased_on_request",
        "a key that is gone",
        _ANSWER_KEY.replace("{key}", "NULL").replace("{erased_by}", "'apr_none'"),
    ),
    Break("sealed_values_have_a_key", "a kept answer in clear", f"{_SOME_KEY}; {_SOME_ANSWER}"),
    Break(
        "sealed_values_have_a_key",
        "a kept answer",
        f"{_SOME_KEY}; {_ANSWER.format(subject='{declined}', version=1, sealed=_BY_ANOTHER_KEY)}".replace(
            "decode('01", "decode('03"
        ),
    ),
    Break("guards_are_in_place", "answers twice", "ALTER TABLE provider_answer DROP CONSTRAINT provider_answer_pkey"),
    Break("history_is_append_only", "answers", "GRANT UPDATE ON provider_answer TO tallystick_app"),
    Break(
        "sealed_values_have_a_key",
        "a next action",
        f"UPDATE payment SET next_action = json_build_object('sealed', encode({_BY_ANOTHER_KEY}, 'base64'))"
        f" {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "sealed_values_have_a_key",
        "a next action in clear",
        f"UPDATE payment SET next_action = json_build_object('sealed', '?') {_OF} payment_id = '{{captured}}'",
    ),
    Break(
        "sealed_values_have_a_key",
        "a key that nobody registered",
        "UPDATE sealing_key_act SET key_id = '\\xffffffff'",
    ),
    Break(
        "guards_are_in_place", "one number twice", "ALTER TABLE sealing_key_act DROP CONSTRAINT sealing_key_act_pkey"
    ),
    Break("guards_are_in_place", "cases twice", "ALTER TABLE rejected_case DROP CONSTRAINT rejected_case_pkey"),
    Break("guards_are_in_place", "alerts twice", "ALTER TABLE alert DROP CONSTRAINT alert_pkey"),
    Break("guards_are_in_place", "acts twice", "ALTER TABLE operator_act DROP CONSTRAINT operator_act_pkey"),
    Break("guards_are_in_place", "two lanes", "ALTER TABLE message_lane DROP CONSTRAINT message_lane_pkey"),
    Break(
        "guards_are_in_place", "two deliveries", "ALTER TABLE message_delivery DROP CONSTRAINT message_delivery_pkey"
    ),
    Break("guards_are_in_place", "one try twice", "ALTER TABLE message_try DROP CONSTRAINT message_try_pkey"),
    Break("guards_are_in_place", "two secrets", "ALTER TABLE webhook_secret DROP CONSTRAINT webhook_secret_pkey"),
    Break("guards_are_in_place", "two endpoints", "DROP INDEX webhook_endpoint_by_url"),
    Break("guards_are_in_place", "events twice", "ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"),
    Break("guards_are_in_place", "arrivals twice", "ALTER TABLE delivery DROP CONSTRAINT delivery_pkey"),
    Break("guards_are_in_place", "tries twice", "ALTER TABLE processing DROP CONSTRAINT processing_pkey"),
    Break("guards_are_in_place", "messages twice", "ALTER TABLE outbox DROP CONSTRAINT outbox_pkey"),
    Break("guards_are_in_place", "disputes twice", "ALTER TABLE dispute DROP CONSTRAINT dispute_pkey"),
    Break(
        "guards_are_in_place",
        "references twice",
        "ALTER TABLE provider_reference DROP CONSTRAINT provider_reference_pkey",
    ),
    Break("guards_are_in_place", "no key", "ALTER TABLE transition DROP CONSTRAINT transition_pkey"),
    Break("guards_are_in_place", "any amount", "ALTER TABLE transfer DROP CONSTRAINT transfer_amount_check"),
)
