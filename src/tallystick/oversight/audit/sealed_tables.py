"""What becomes of every table of the schema: its columns enter leaves, it is compared with what is sealed, or nothing
is promised of it. A test compares these lists with the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.kinds import ATTEMPT_KIND, KINDS

#: Encoding 2: table -> the columns that enter a leaf. They are never changed: a change is the next encoding.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    table: tuple(sorted(columns.split()))
    for table, columns in {
        "transition": (
            "merchant_id subject_id version change_id subject payment_id from_state to_state event cause actor"
            " provider_reference at occurred_at change evidence stream_id lead_version key_kind"
        ),
        "transfer": "merchant_id payment_id subject_id version leg kind debit credit amount currency at stream_id",
        "outbox": (
            "merchant_id payment_id version subject_id message_id type body at stream_id answer_key api_version"
            " key_kind traceparent"
        ),
        "instruction": (
            "merchant_id idempotency_key instruction_id operation path fingerprint fingerprint_version request"
            " payment_id subject_id at traceparent"
        ),
        "response": "merchant_id idempotency_key status body at api_version",
        "rejection": (
            "merchant_id payment_id rejection_id subject_id subject state version event cause actor origin reason alert"
            " idempotency_key at evidence stream_id key_kind category"
        ),
        "message_try": (
            "merchant_id endpoint_id message_id try_id number resends started_at duration_ms result status detail actor"
        ),
        "webhook_endpoint_act": "merchant_id endpoint_id act_id act detail actor at",
        "delivery": (
            "provider account provider_event_id delivery_id received_at validated_at recorded_at result digest"
        ),
        "processing": (
            "provider account provider_event_id try_id number started_at ended_at result detail change_id actor"
        ),
        "operator_act": (
            "operator idempotency_key act_id act target merchant_id payment_id arguments fingerprint reason key_kind"
            " change_id result at"
        ),
        "deployment": (
            "deployment_id kind at process_version version role host fingerprint changed digests actor act_id"
        ),
        "sealing_key_act": "number act key_id fingerprint actor reason at",
        "operator_version": "operator_id version state roles merchants raw_evidence actor request_id at",
        "operator_bootstrap": "place operator_id actor at",
        "approval_request": (
            "request_id act target merchant_id arguments shown shown_hash authors needed reason requested_by"
            " requested_at expires_at"
        ),
        "approval_decision": "request_id decided_by approves shown_hash reason at",
        "approval_outcome": "request_id outcome detail at",
        "fee_schedule": "provider account version valid_from rounding rates actor created_at",
        "settlement_evidence_set": "file_id batch currency provider account rows net root created_at",
        "audit_sweep": "sweep_id at examined late",
        "api_key_act": (
            "merchant_id key_id number act secret_hash created_at revoked_at operator api_version kind scopes"
            " limit_currencies limit_amounts at"
        ),
        "audit_restore": "number document signature declared_at",
        "audit_key_rotation": "number document old_signature new_signature rotated_at",
    }.items()
}

#: Columns that came later: in a leaf where they say something, so that the leaves of before stay what they were.
ADDED: Final[Mapping[str, tuple[str, ...]]] = {"api_key_act": ("actor",)}

#: Columns of these tables that are in no leaf, with the reason.
LEFT_OUT: Final[Mapping[str, str]] = {
    "outbox.dispatched_at": "the dispatcher changes it",
    "outbox.lease_until": "the dispatcher changes it",
    "delivery.sealed": "its digest is in the leaf; the bytes are bound to their row by their own encryption",
}

#: What enters as a salted hash: a column, or a member of a column that is a JSON object. Of instructions the
#: fingerprint is one too: it is a hash over the request, without a salt; so are hashes of what an approver was shown.
SALTED: Final = frozenset(
    {
        "transition.change.description",
        "transition.change.metadata",
        "transition.evidence",
        "rejection.evidence",
        "instruction.request",
        "instruction.fingerprint",
        "response.body",
        "outbox.body",
        "delivery.digest",
        "operator_act.arguments",
        "operator_act.fingerprint",
        "approval_request.arguments",
        "approval_request.shown",
        "approval_request.shown_hash",
        "approval_decision.shown_hash",
        "api_key_act.secret_hash",
    }
)

_FROM_HISTORY: Final = "`verify`: folded from history"

#: Tables that are not sealed and not promised by themselves: what they say is compared with what is sealed. Each with
#: what compares it: ``tallystick audit verify``, or ``tallystick verify``, which folds history.
FOLDED: Final[Mapping[str, str]] = {
    **{kind.table: _FROM_HISTORY for kind in KINDS.values()},
    ATTEMPT_KIND.table: f"{_FROM_HISTORY}; recovery's schedule in it is not promised",
    "balance": "`verify`: the sum of the postings",
    "provider_answer": "`verify`: its digest is in the sealed evidence of the step or the refusal that it explains",
    "provider_reference": "`audit verify`: each charge has to be named by its payment's history, and what that keeps be"
    " there",
    "api_key": "`audit verify`: each key has to be what its last sealed act made, and every one has to be there",
    "audit_head": "`audit verify`: signed itself",
    "audit_checkpoint": "`audit verify`: signed itself",
    "audit_leaf": "`audit verify`: compared with the signed lists of leaves",
    "audit_record": "`audit verify`: its id is in every head, and its number of groups that of the trees; when it was"
    " made is not promised",
}

#: Tables of which nothing is promised, with the reason.
NOT_PROMISED: Final[Mapping[str, str]] = {
    "bank_statement_name": "which statement of a name came first; the statements' steps are sealed",
    "bank_comparison": "made from files; its digest is in the sealed history of its statement",
    "reconciliation_told": "of which evidence merchants were told; their messages are sealed",
    "moved_alone": "sums of what operators moved alone; the acts that they are of are sealed",
    "bank_arrival": "which payout an entry is: made from evidence, whose digest is sealed",
    "deadline": "a schedule",
    "inbox": "made from sealed arrivals, tries and history; its schedule changes",
    "message_delivery": "a schedule, made from messages and tries",
    "message_lane": "a schedule",
    "alert_sending": "a schedule",
    "audit_anchor": "how far heads were sent; the places themselves have them",
    "audit_position": "how far the sealer is; what it passes by is found by the look at everything",
    "watch": "a lease",
    "merchant": "which providers a merchant may use; changes in place",
    "webhook_endpoint": "changes in place; the acts about it are sealed",
    "webhook_secret": "secrets, deleted when they end",
    "provider_answer_key": "keys, which an erasure takes; its request is sealed",
    "provider_pause": "until when a provider asked to wait; changes in place",
    "operator_pause": "changes in place; the acts about it are sealed",
    "provider_circuit": "what processes say of themselves",
    "process_clock": "what processes say of themselves",
    "provider_comparison": "whose turn it is",
    "erasure": "how far it is changes; its request is sealed",
    "personal_move": "how far rows of an older release are moved",
    "settlement_report": "a schedule; its state changes in place",
    "webhook_refusal": "counts",
    "webhook_refusal_closing": "changes in place; the acts about it are sealed",
    "contract_drift": "counts",
    "version_use": "counts",
    "event_result": "counts",
    "instruction_replay": "counts",
    "rate_count": "counts",
    "completeness_count": "counts",
    "operator_credential": "secrets of people; the acts about them are sealed",
    "operator_session": "sessions",
    "sign_in_try": "tries to sign in, deleted later",
    "latency_count": "counts",
    "number_sample": "counts",
    "saved_filter": "filters that people keep",
    "work_owner": "changes in place; the acts about it are sealed",
    "settlement_file": "its state changes in place; the acts about it are sealed",
    "settlement_digest": "which file has these bytes: made from files",
    "settlement_batch": "made from rows, and changes in place",
    "settlement_row": "may be withdrawn; what was posted of it is in its evidence",
    "settlement_bad_row": "may be withdrawn",
    "settlement_news": "which event tells of a row: made from rows; what comes of it is in history",
    "settlement_evidence": "the digest of all of a batch is in its set, which is sealed",
    "settlement_evidence_sum": "the sums of the evidence",
    "report_evidence": "nothing is posted of it; made from rows and the record, as they were",
    "report_comparison": "how often a report was compared: nothing is posted of it",
}

#: Tables that are not sealed. Every other table of the schema has a leaf.
NOT_SEALED: Final[Mapping[str, str]] = {**FOLDED, **NOT_PROMISED}
