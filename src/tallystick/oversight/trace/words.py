"""What a trace says for people, instead of the names that the record has: one word or clause each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Operations at a provider.
OPERATIONS: Final[Mapping[str, str]] = {
    "authorize": "charge",
    "capture": "capture",
    "cancel": "release of the hold",
    "refund": "refund",
}

#: Edges that any machine may have.
_ANY: Final[dict[str, str]] = {
    "late_effect": "the provider did something after the end",
    "late_money_counted": "late money was counted by an upgrade",
}

#: (subject, edge) -> what happened. An attempt's edges follow its operation.
STEPS: Final[Mapping[str, Mapping[str, str]]] = {
    "payment": _ANY
    | {
        "create": "payment made",
        "authorized": "payment authorized",
        "captured": "payment captured",
        "declined": "payment declined",
        "failed": "payment failed",
        "canceled": "payment canceled",
        "expired": "payment expired",
        "action_required": "the payer has to act",
        "processing": "the payer has acted",
        "capture": "capture asked for",
        "cancel": "cancel asked for",
        "capture_refused": "the capture was refused",
        "cancel_refused": "the cancel was refused",
        "action_still_required": "the cancel was refused, and the payer still has to act",
        "capture_added": "one more part of the hold was captured",
        "capture_reversed": "the capture failed later",
        "captured_and_refunded": "it had been captured, and was refunded",
        "refund_opened": "a refund began",
        "refund_succeeded": "a refund succeeded",
        "refund_failed": "a refund failed",
        "refund_resubmitted": "a refund was sent again",
        "dispute_opened": "a dispute began",
        "dispute_updated": "a dispute changed",
        "settled": "a movement was settled by the provider",
        "settlement_withdrawn": "the settlement of a movement was taken back",
        "late_money_accepted": "late money was accepted for the merchant",
        "late_return_opened": "the return of late money began",
        "late_return_failed": "the return of late money failed",
        "late_money_returned": "late money went back to the payer",
        "late_money_came_back": "late money that was returned came back",
        "late_capture": "money came after the end and waits in suspense",
        "late_hold": "money was held after the end",
        "late_release": "a hold was released after the end",
    },
    "refund": _ANY
    | {
        "create": "refund made",
        "pending": "refund accepted by the provider, and not decided yet",
        "succeeded": "refund succeeded",
        "failed": "refund failed",
        "late_refund": "refunded by the provider after the refund had failed",
    },
    "dispute": _ANY
    | {
        "open": "dispute opened",
        "under_review": "dispute under review",
        "escalated": "the inquiry became a chargeback",
        "funds_withdrawn": "the disputed money was withdrawn",
        "funds_returned": "the disputed money was given back",
        "funds_reported": "the provider named a movement of the disputed money",
        "late_movement": "the provider moved money that the dispute does not explain",
        "contested": "the provider reported the dispute both won and lost",
        "won": "dispute won",
        "lost": "dispute lost",
    },
    "attempt": _ANY
    | {
        "submit": "tried",
        "resubmit": "tried again",
        "approved": "approved",
        "declined": "declined",
        "pending": "accepted, and not decided yet",
        "requires_action": "the payer has to act",
        "unknown": "no usable answer",
        "key_taken": "the provider has the key of this call for another request",
        "not_sent": "nothing was sent",
        "not_found": "the provider knows nothing of it",
        "parked": "given to a person: nobody knows what became of it",
        "give_up": "given up",
        "reversed": "failed later",
        "late_capture": "captured by the provider after it was closed here",
        "late_hold": "held by the provider after it was closed here",
        "late_release": "released by the provider after it was closed here",
        "late_refund": "refunded by the provider after it was closed here",
    },
}

#: What a step was caused by, where somebody else than the actor has to be named.
CAUSES: Final[Mapping[str, str]] = {
    "answer": "the provider's answer",
    "webhook": "an event of the provider",
    "instruction": "a request of {actor}",
    "operator": "an act of {actor}",
    "recovery": "recovery, which asked the provider",
    "recovery: resubmit": "recovery, which sends it again",
    "recovery: deadline": "recovery, at the end of the hold",
    "recovery: expiry": "recovery, at the end of the hold",
    "recovery: no more tries": "recovery, which has no try left",
    "recovery: bounded recovery ended": "recovery, which has no look-up left",
}

#: Why there was no usable answer, by the error's name.
ERRORS: Final[Mapping[str, str]] = {
    "TimeoutError": "the time ran out",
    "ServerTimeoutError": "the time ran out",
    "ConnectionTimeoutError": "no connection in time",
    "SocketTimeoutError": "the time ran out",
    "ClientConnectorError": "no connection",
    "ClientConnectorDNSError": "the provider's host is not known",
    "ConnectionRefusedError": "the connection was refused",
    "ConnectionResetError": "the connection was cut",
    "ClientConnectionResetError": "the connection was cut",
    "BrokenPipeError": "the connection was cut",
    "ServerDisconnectedError": "the provider closed the connection",
    "ClientOSError": "the connection broke",
    "ClientPayloadError": "the answer was cut off",
    "ClientResponseError": "the answer cannot be read",
}

#: Before a reason that a look-up has: the provider was asked again what became of a call.
LOOKUP: Final = "lookup: "

#: What a repeated request got.
REPLAYS: Final[Mapping[str, str]] = {
    "replayed": "repeated request got the recorded answer",
    "not_final": "repeated request: the outcome was not known yet (202)",
    "in_flight": "repeated request: the first one was still at work (409)",
    "other_request": "the key came with another request, which was refused (409)",
}

ARRIVALS: Final[Mapping[str, str]] = {
    "first": "arrived",
    "redelivery": "arrived again",
    "other_bytes": "arrived again with other content",
}

#: What a try at an event came to, and what operators asked for.
TRIES: Final[Mapping[str, str]] = {
    "applied": "applied",
    "duplicate_effect": "its effect was in the record already",
    "stale": "older than what the record has; nothing was to do",
    "conflict": "it contradicts the record",
    "unknown_type": "its type is not known here",
    "unreadable": "it cannot be read",
    "foreign": "it is of other software on the account",
    "unroutable": "it cannot be applied to what the record has",
    "failed": "it could not be processed",
    "dead": "it is a dead letter",
    "not_ready": "it waits for what comes before it",
    "replayed": "to be processed again",
    "discarded": "closed for good",
    "read_again": "read again",
}

#: What a try at a message came to.
SENDS: Final[Mapping[str, str]] = {
    "delivered": "delivered",
    "refused": "refused by the receiver",
    "redirected": "redirected, which is not followed",
    "gone": "the receiver is gone",
    "timed_out": "no response in time",
    "unreachable": "no connection",
    "disconnected": "the connection was closed before a response",
    "tls_failed": "no verified TLS connection",
    "broken": "the response is not HTTP",
    "address_refused": "the address is not allowed, or is not known",
    "name_unresolved": "the host's name is not known",
    "secret_unreadable": "nothing was sent: the signing secret cannot be opened",
    "resend_requested": "to be sent again",
}

DELIVERIES: Final[Mapping[str, str]] = {
    "open": "not delivered yet",
    "delivered": "delivered",
    "exhausted": "given up",
    "canceled": "canceled",
}

#: Categories of cases: why somebody has to look.
CATEGORIES: Final[Mapping[str, str]] = {
    "late": "came after the end",
    "conflicting": "contradicts the record",
    "malformed": "cannot be ours as it stands",
    "unknown_to_us": "unknown here",
}

CASES: Final[Mapping[str, str]] = {"open": "open", "acknowledged": "taken", "resolved": "closed"}

#: What operators do.
ACTS: Final[Mapping[str, str]] = {
    "dead_letter.replay": "dead letter replayed",
    "dead_letter.replay_many": "dead letters replayed",
    "dead_letter.discard": "dead letter discarded",
    "dead_letter.discard_many": "dead letters discarded",
    "event.reread": "events read again",
    "attempt.resolve": "call in doubt resolved",
    "late_money.accept": "late money accepted",
    "late_money.return": "late money returned",
    "dispute.state_amount": "unknown amount stated",
    "case.acknowledge": "case taken",
    "case.escalate": "case handed on",
    "case.give_back": "case given back",
    "case.ignore": "case closed without doing anything",
    "case.reprocess": "case processed again",
    "alert.acknowledge": "alert taken",
    "alert.hand_on": "alert handed on",
    "alert.give_back": "alert given back",
    "alert.resolve": "alert resolved",
    "provider.pause": "provider paused",
    "provider.resume": "provider resumed",
    "release.mark": "release marked",
    "message.resend": "messages sent again",
    "sealing_key.retire": "sealing key retired",
    "annotate": "note",
    "operator.add": "operator added",
    "operator.change": "operator's rights changed",
    "operator.disable": "operator disabled",
    "operator.reset": "operator's credentials reset",
    "evidence.read": "raw evidence read",
    "payment.erase": "personal fields erased",
    "merchant.erase": "merchant's personal fields erased",
    "work.take": "waiting work taken",
    "work.hand_on": "waiting work handed on",
    "work.give_back": "waiting work given back",
    "audit.restored": "a restore of the record declared",
    "webhook_refusal.close": "refused webhooks closed",
    "fee_schedule.set": "fee schedule set",
    "settlement_file.withdraw": "settlement file withdrawn",
    "settlement_row.match": "settlement row matched by hand",
    "settlement_row.write_off": "settlement row written off",
}

#: Kinds of ledger rows.
TRANSFERS: Final[Mapping[str, str]] = {
    "hold": "hold",
    "release": "hold released",
    "capture": "capture",
    "refund_sent": "refund begun",
    "refund_succeeded": "refund paid",
    "refund_reversed": "paid refund came back",
    "refund_failed": "failed refund given back",
    "capture_reversed": "capture failed later",
    "dispute_reserve": "reserved for a dispute",
    "dispute_withdrawn": "withdrawn for a dispute",
    "dispute_returned": "given back for a dispute",
    "dispute_released": "dispute's reserve released",
    "dispute_lost": "dispute lost",
    "dispute_contested": "dispute reported both won and lost",
    "late_capture": "late money",
    "late_money_accepted": "late money accepted",
    "late_money_returned": "late money returned",
    "late_money_came_back": "returned late money came back",
    "late_refund": "late refund",
    "late_movement": "late movement",
    "late_effect": "late effect",
}

#: Accounts of the ledger; {} is the provider.
ACCOUNTS: Final[Mapping[str, str]] = {
    "merchant": "the merchant's balance",
    "dispute_reserve": "the reserve for disputes",
    "provider": "the balance at {}",
    "authorized": "holds at {}",
    "authorized_contra": "the other side of holds at {}",
    "refunds_in_flight": "refunds under way at {}",
    "disputes": "disputed money at {}",
    "suspense": "suspense at {}",
    "settled": "settled by {}, to be shared out",
    "provider_balance": "what {} holds for us",
    "reserve": "what {} keeps back",
    "tax": "taxes charged by {}",
    "bank_in_transit": "on its way from {} to the bank",
    "unexplained": "unexplained at {}",
    "bank": "the bank account {}",
    "rounding": "rounding at {}",
    "write_off": "written off",
}


def step(subject: str | None, event: str) -> str:
    """An edge of a machine. One of a newer release is said by its name."""
    return STEPS.get(subject or "", {}).get(event) or f"{subject} {plain(event)}"


def refused(subject: str | None, event: str) -> str:
    """An edge that was tried in vain: what would have happened."""
    return f"call {step(subject, event)}" if subject == "attempt" else step(subject, event)


def cause(why: str | None, actor: str | None) -> str:
    """Who or what led to a step."""
    said = CAUSES.get(why or "")
    if said is not None:
        return said.format(actor=actor or "somebody")
    if why and actor and why.startswith(f"{actor}: "):
        return why
    return ", ".join(part for part in (why, actor) if part)


def reason(why: str) -> str:
    """Why there was no usable answer, or what the provider said, which others wrote."""
    bare = why.removeprefix(LOOKUP)
    said = ERRORS.get(bare, bare).removesuffix(".")
    return said if bare == why else f"when it was asked again: {said}"


def account(name: str | None) -> str:
    """An account of the ledger."""
    kind, _, provider = (name or "").partition(":")
    return ACCOUNTS.get(kind, name or "").format(provider)


def plain(name: str) -> str:
    """A name of the record that has no words here."""
    return name.replace("_", " ")


def one_of(table: Mapping[str, str], name: str) -> str:
    """What the table says; one of a newer release is said by its name."""
    return table.get(name) or plain(name)
