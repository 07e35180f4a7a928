"""The fault table: what comes of each instruction at each provider under each fault. Written by hand. Pure data.

It imports nothing of the code that it describes. ``tests/guarantees/fault_table`` brings every cell about, on a real
database and beside the providers' stands, and compares what happened with what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

INSTRUCTIONS: Final = ("create", "capture", "cancel", "refund")
PROVIDERS: Final = ("simulator", "stripe", "adyen")


class Fault(NamedTuple):
    """One column. ``by_client``: a client causes it; then another merchant at the same provider is unharmed. Otherwise
    another provider is."""

    title: str
    meaning: str
    by_client: bool


FAULTS: Final[Mapping[str, Fault]] = {
    "amount_not_representable": Fault(
        "The amount cannot be expressed",
        "The provider's unit of the currency cannot express the amount.",
        by_client=True,
    ),
    "currency_gone": Fault(
        "The currency left the list",
        "The currency has left ISO's list; for capture, cancel and refund it left after the payment was made.",
        by_client=True,
    ),
    "provider_gone": Fault(
        "The provider left the settings",
        "The process has no key to the provider any more; the test acquirer, which needs none, is switched off.",
        by_client=False,
    ),
    "circuit_open": Fault(
        "The circuit is open",
        "The provider did not answer others, so that nothing is sent to it. Later it answers again.",
        by_client=False,
    ),
    "asked_to_wait": Fault(
        "The provider asked to wait",
        "It answered another call of the account with 429 and `Retry-After`. When that time is over it takes calls.",
        by_client=False,
    ),
    "clock_ahead": Fault(
        "The host's clock is 5 min ahead",
        "Database and provider agree, and the request is lost on its way. One that is not lost is answered as ever.",
        by_client=False,
    ),
    "clock_behind": Fault(
        "The host's clock is 5 min behind",
        "Database and provider agree, and the request is lost on its way. One that is not lost is answered as ever.",
        by_client=False,
    ),
    "key_in_use": Fault(
        "The key is in use",
        "The provider says once that a request with this attempt's key is still under way there.",
        by_client=True,
    ),
    "key_used_otherwise": Fault(
        "The key was used otherwise",
        "The provider knows this attempt's key from another request of the same kind.",
        by_client=True,
    ),
    "look_up_cut_off": Fault(
        "The look-up is cut off",
        "The provider executed the request, its answer was lost, and every look-up breaks off.",
        by_client=False,
    ),
    "retry_after_restore": Fault(
        "A retry after a restore",
        "The instruction was carried out; an older back-up was restored; the client sends the same request again.",
        by_client=True,
    ),
}

Key = Literal["free", "taken"]

#: What may still arrive, and what it does.
Arrives = Literal["nothing", "a repetition", "the decision", "the outcome, late", "another attempt's outcome"]

#: Who acts next, in this order.
Acts = Literal[
    "nobody",
    "the client",
    "an operator, then the client",
    "the provider",
    "recovery",
    "recovery, then the provider",
    "recovery, then an operator",
]


class Answer(NamedTuple):
    """One cell. ``status`` and ``code``: the answer to the request. ``sent``: the requests that had left for the
    provider when it was given; ``in_all``: in the end. ``end``: what the same request gets in the end, and ``records``
    what is stored then. In the end: nothing changes any more without an operator, or without what may still arrive."""

    status: int
    code: str | None
    sent: int
    in_all: int
    key: Key
    end: str
    records: tuple[str, ...]
    arrives: Arrives
    acts: Acts


class CannotOccur(NamedTuple):
    """A cell whose fault cannot meet the instruction. ``otherwise``: what comes of the instruction where the fault is
    injected all the same."""

    because: str
    otherwise: Answer


Cell = Answer | CannotOccur

# Refused before anything is stored.


def _refused(code: str, *records: str) -> Answer:
    return Answer(422, code, 0, 0, "free", f"422 {code}", records, "nothing", "the client")


_AMOUNT: Final = "validation_failed amount not_representable"
_CURRENCY: Final = "validation_failed currency unknown_currency"
_PROVIDER: Final = "validation_failed provider unknown_provider"


def _not_ready(*records: str) -> Answer:
    return Answer(503, "not_ready", 0, 0, "free", "503 not_ready", records, "nothing", "an operator, then the client")


# Carried out: what is stored then, and what the answer says.

_CAPTURED: Final = ("payment captured", "attempt approved")
_CANCELED: Final = ("payment canceled", "attempt approved")
_REFUNDED: Final = ("payment captured", "refund succeeded", "attempt approved")

# Without a fault, where the answer brings the outcome, and where an event does.

_CREATED: Final = Answer(201, None, 1, 1, "taken", "201 captured", _CAPTURED, "a repetition", "nobody")
_NORMAL: Final = {
    "create": _CREATED,
    "capture": Answer(200, None, 1, 1, "taken", "200 captured", _CAPTURED, "a repetition", "nobody"),
    "cancel": Answer(200, None, 1, 1, "taken", "200 canceled", _CANCELED, "a repetition", "nobody"),
    "refund": Answer(201, None, 1, 1, "taken", "201 succeeded", _REFUNDED, "a repetition", "nobody"),
}
_NORMAL_ADYEN: Final = {
    "create": _CREATED,
    "capture": Answer(202, None, 1, 1, "taken", "200 captured", _CAPTURED, "the decision", "the provider"),
    "cancel": Answer(202, None, 1, 1, "taken", "200 canceled", _CANCELED, "the decision", "the provider"),
    "refund": Answer(202, None, 1, 1, "taken", "201 succeeded", _REFUNDED, "the decision", "the provider"),
}

#: (instruction, provider) -> what comes of it without a fault.
NORMAL: Final[Mapping[tuple[str, str], Answer]] = {
    **{(instruction, "simulator"): answer for instruction, answer in _NORMAL.items()},
    **{(instruction, "stripe"): answer for instruction, answer in _NORMAL.items()},
    **{(instruction, "adyen"): answer for instruction, answer in _NORMAL_ADYEN.items()},
}

# Not sent at first, and sent once when the circuit closes, or when the wait is over.

_LATER: Final = {
    "create": Answer(202, None, 0, 1, "taken", "201 captured", _CAPTURED, "a repetition", "recovery"),
    "capture": Answer(202, None, 0, 1, "taken", "200 captured", _CAPTURED, "a repetition", "recovery"),
    "cancel": Answer(202, None, 0, 1, "taken", "200 canceled", _CANCELED, "a repetition", "recovery"),
    "refund": Answer(202, None, 0, 1, "taken", "201 succeeded", _REFUNDED, "a repetition", "recovery"),
}
_THEN: Final = "recovery, then the provider"
_LATER_ADYEN: Final = {
    "create": Answer(202, None, 0, 1, "taken", "201 captured", _CAPTURED, "a repetition", "recovery"),
    "capture": Answer(202, None, 0, 1, "taken", "200 captured", _CAPTURED, "the decision", _THEN),
    "cancel": Answer(202, None, 0, 1, "taken", "200 canceled", _CANCELED, "the decision", _THEN),
    "refund": Answer(202, None, 0, 1, "taken", "201 succeeded", _REFUNDED, "the decision", _THEN),
}

# Sent twice with one key, and executed once.

_AGAIN: Final = {
    "create": Answer(202, None, 1, 2, "taken", "201 captured", _CAPTURED, "a repetition", "recovery"),
    "capture": Answer(202, None, 1, 2, "taken", "200 captured", _CAPTURED, "a repetition", "recovery"),
    "cancel": Answer(202, None, 1, 2, "taken", "200 canceled", _CANCELED, "a repetition", "recovery"),
    "refund": Answer(202, None, 1, 2, "taken", "201 succeeded", _REFUNDED, "a repetition", "recovery"),
}
_AGAIN_ADYEN: Final = {
    "create": Answer(202, None, 1, 2, "taken", "201 captured", _CAPTURED, "a repetition", "recovery"),
    "capture": Answer(202, None, 1, 2, "taken", "200 captured", _CAPTURED, "the decision", _THEN),
    "cancel": Answer(202, None, 1, 2, "taken", "200 canceled", _CANCELED, "the decision", _THEN),
    "refund": Answer(202, None, 1, 2, "taken", "201 succeeded", _REFUNDED, "the decision", _THEN),
}

# In doubt, sent once, and parked for an operator.

_PERSON: Final = "recovery, then an operator"
_PARKED: Final = "attempt unknown, parked"
_IN_DOUBT: Final = {
    "create": Answer(
        202, None, 1, 1, "taken", "202 authorizing", ("payment authorizing", _PARKED), "the outcome, late", _PERSON
    ),
    "capture": Answer(
        202, None, 1, 1, "taken", "202 capturing", ("payment capturing", _PARKED), "the outcome, late", _PERSON
    ),
    "cancel": Answer(
        202, None, 1, 1, "taken", "202 canceling", ("payment canceling", _PARKED), "the outcome, late", _PERSON
    ),
    "refund": Answer(
        202,
        None,
        1,
        1,
        "taken",
        "202 submitting",
        ("payment captured", "refund submitting", _PARKED),
        "the outcome, late",
        _PERSON,
    ),
}

# The key stands for another attempt: what that one did settles nothing here.

_OTHERS: Final = "another attempt's outcome"
_PARKED_TAKEN: Final = "attempt unknown, key taken, parked"
_KEY_TAKEN: Final = {
    "create": Answer(
        202, None, 1, 1, "taken", "202 authorizing", ("payment authorizing", _PARKED_TAKEN), _OTHERS, _PERSON
    ),
    "capture": Answer(
        202, None, 1, 1, "taken", "202 capturing", ("payment capturing", _PARKED_TAKEN), _OTHERS, _PERSON
    ),
    "cancel": Answer(202, None, 1, 1, "taken", "202 canceling", ("payment canceling", _PARKED_TAKEN), _OTHERS, _PERSON),
    "refund": Answer(
        202,
        None,
        1,
        1,
        "taken",
        "202 submitting",
        ("payment captured", "refund submitting", _PARKED_TAKEN),
        _OTHERS,
        _PERSON,
    ),
}

_NO_AMOUNT: Final = "a cancel tells the provider no amount, so none has to be expressed"
_NO_KEY_NEEDED: Final = "the test acquirer's connector needs no key: switched off, it stays for the payments that exist"
_BOOKED_AT_ONCE: Final = (
    "the test acquirer books a key together with its effect: a second request waits for the first one's booking and"
    " gets its answer"
)
_NO_LOOK_UP: Final = "Adyen has no look-up: a request without an answer is sent again with the same key"

#: (instruction, provider, fault) -> the cell.
CELLS: Final[Mapping[tuple[str, str, str], Cell]] = {
    # The amount cannot be expressed.
    ("create", "simulator", "amount_not_representable"): _refused(_AMOUNT),
    ("create", "stripe", "amount_not_representable"): _refused(_AMOUNT),
    ("create", "adyen", "amount_not_representable"): _refused(_AMOUNT),
    ("capture", "simulator", "amount_not_representable"): _refused(_AMOUNT, "payment authorized"),
    ("capture", "stripe", "amount_not_representable"): _refused(_AMOUNT, "payment authorized"),
    ("capture", "adyen", "amount_not_representable"): _refused(_AMOUNT, "payment authorized"),
    ("cancel", "simulator", "amount_not_representable"): CannotOccur(_NO_AMOUNT, _NORMAL["cancel"]),
    ("cancel", "stripe", "amount_not_representable"): CannotOccur(_NO_AMOUNT, _NORMAL["cancel"]),
    ("cancel", "adyen", "amount_not_representable"): CannotOccur(_NO_AMOUNT, _NORMAL_ADYEN["cancel"]),
    ("refund", "simulator", "amount_not_representable"): _refused(_AMOUNT, "payment captured"),
    ("refund", "stripe", "amount_not_representable"): _refused(_AMOUNT, "payment captured"),
    ("refund", "adyen", "amount_not_representable"): _refused(_AMOUNT, "payment captured"),
    # The currency left the list: what exists goes on by the exponents that are stored with it.
    ("create", "simulator", "currency_gone"): _refused(_CURRENCY),
    ("create", "stripe", "currency_gone"): _refused(_CURRENCY),
    ("create", "adyen", "currency_gone"): _refused(_CURRENCY),
    ("capture", "simulator", "currency_gone"): _NORMAL["capture"],
    ("capture", "stripe", "currency_gone"): _NORMAL["capture"],
    ("capture", "adyen", "currency_gone"): _NORMAL_ADYEN["capture"],
    ("cancel", "simulator", "currency_gone"): _NORMAL["cancel"],
    ("cancel", "stripe", "currency_gone"): _NORMAL["cancel"],
    ("cancel", "adyen", "currency_gone"): _NORMAL_ADYEN["cancel"],
    ("refund", "simulator", "currency_gone"): _NORMAL["refund"],
    ("refund", "stripe", "currency_gone"): _NORMAL["refund"],
    ("refund", "adyen", "currency_gone"): _NORMAL_ADYEN["refund"],
    # The provider left the settings.
    ("create", "simulator", "provider_gone"): _refused(_PROVIDER),
    ("create", "stripe", "provider_gone"): _refused(_PROVIDER),
    ("create", "adyen", "provider_gone"): _refused(_PROVIDER),
    ("capture", "simulator", "provider_gone"): CannotOccur(_NO_KEY_NEEDED, _NORMAL["capture"]),
    ("capture", "stripe", "provider_gone"): _not_ready("payment authorized"),
    ("capture", "adyen", "provider_gone"): _not_ready("payment authorized"),
    ("cancel", "simulator", "provider_gone"): CannotOccur(_NO_KEY_NEEDED, _NORMAL["cancel"]),
    ("cancel", "stripe", "provider_gone"): _not_ready("payment authorized"),
    ("cancel", "adyen", "provider_gone"): _not_ready("payment authorized"),
    ("refund", "simulator", "provider_gone"): CannotOccur(_NO_KEY_NEEDED, _NORMAL["refund"]),
    ("refund", "stripe", "provider_gone"): _not_ready("payment captured"),
    ("refund", "adyen", "provider_gone"): _not_ready("payment captured"),
    # The circuit is open.
    ("create", "simulator", "circuit_open"): _LATER["create"],
    ("create", "stripe", "circuit_open"): _LATER["create"],
    ("create", "adyen", "circuit_open"): _LATER_ADYEN["create"],
    ("capture", "simulator", "circuit_open"): _LATER["capture"],
    ("capture", "stripe", "circuit_open"): _LATER["capture"],
    ("capture", "adyen", "circuit_open"): _LATER_ADYEN["capture"],
    ("cancel", "simulator", "circuit_open"): _LATER["cancel"],
    ("cancel", "stripe", "circuit_open"): _LATER["cancel"],
    ("cancel", "adyen", "circuit_open"): _LATER_ADYEN["cancel"],
    ("refund", "simulator", "circuit_open"): _LATER["refund"],
    ("refund", "stripe", "circuit_open"): _LATER["refund"],
    ("refund", "adyen", "circuit_open"): _LATER_ADYEN["refund"],
    # The provider asked to wait.
    ("create", "simulator", "asked_to_wait"): _LATER["create"],
    ("create", "stripe", "asked_to_wait"): _LATER["create"],
    ("create", "adyen", "asked_to_wait"): _LATER_ADYEN["create"],
    ("capture", "simulator", "asked_to_wait"): _LATER["capture"],
    ("capture", "stripe", "asked_to_wait"): _LATER["capture"],
    ("capture", "adyen", "asked_to_wait"): _LATER_ADYEN["capture"],
    ("cancel", "simulator", "asked_to_wait"): _LATER["cancel"],
    ("cancel", "stripe", "asked_to_wait"): _LATER["cancel"],
    ("cancel", "adyen", "asked_to_wait"): _LATER_ADYEN["cancel"],
    ("refund", "simulator", "asked_to_wait"): _LATER["refund"],
    ("refund", "stripe", "asked_to_wait"): _LATER["refund"],
    ("refund", "adyen", "asked_to_wait"): _LATER_ADYEN["refund"],
    # The host's clock is 5 min ahead: absence is no evidence. Adyen needs none: the same key is sent again.
    ("create", "simulator", "clock_ahead"): _IN_DOUBT["create"],
    ("create", "stripe", "clock_ahead"): _IN_DOUBT["create"],
    ("create", "adyen", "clock_ahead"): _AGAIN_ADYEN["create"],
    ("capture", "simulator", "clock_ahead"): _IN_DOUBT["capture"],
    ("capture", "stripe", "clock_ahead"): _IN_DOUBT["capture"],
    ("capture", "adyen", "clock_ahead"): _AGAIN_ADYEN["capture"],
    ("cancel", "simulator", "clock_ahead"): _IN_DOUBT["cancel"],
    ("cancel", "stripe", "clock_ahead"): _IN_DOUBT["cancel"],
    ("cancel", "adyen", "clock_ahead"): _AGAIN_ADYEN["cancel"],
    ("refund", "simulator", "clock_ahead"): _IN_DOUBT["refund"],
    ("refund", "stripe", "clock_ahead"): _IN_DOUBT["refund"],
    ("refund", "adyen", "clock_ahead"): _AGAIN_ADYEN["refund"],
    # The host's clock is 5 min behind.
    ("create", "simulator", "clock_behind"): _IN_DOUBT["create"],
    ("create", "stripe", "clock_behind"): _IN_DOUBT["create"],
    ("create", "adyen", "clock_behind"): _AGAIN_ADYEN["create"],
    ("capture", "simulator", "clock_behind"): _IN_DOUBT["capture"],
    ("capture", "stripe", "clock_behind"): _IN_DOUBT["capture"],
    ("capture", "adyen", "clock_behind"): _AGAIN_ADYEN["capture"],
    ("cancel", "simulator", "clock_behind"): _IN_DOUBT["cancel"],
    ("cancel", "stripe", "clock_behind"): _IN_DOUBT["cancel"],
    ("cancel", "adyen", "clock_behind"): _AGAIN_ADYEN["cancel"],
    ("refund", "simulator", "clock_behind"): _IN_DOUBT["refund"],
    ("refund", "stripe", "clock_behind"): _IN_DOUBT["refund"],
    ("refund", "adyen", "clock_behind"): _AGAIN_ADYEN["refund"],
    # The key is in use: an answer, though none about the outcome.
    ("create", "simulator", "key_in_use"): CannotOccur(_BOOKED_AT_ONCE, _NORMAL["create"]),
    ("create", "stripe", "key_in_use"): _AGAIN["create"],
    ("create", "adyen", "key_in_use"): _AGAIN_ADYEN["create"],
    ("capture", "simulator", "key_in_use"): CannotOccur(_BOOKED_AT_ONCE, _NORMAL["capture"]),
    ("capture", "stripe", "key_in_use"): _AGAIN["capture"],
    ("capture", "adyen", "key_in_use"): _AGAIN_ADYEN["capture"],
    ("cancel", "simulator", "key_in_use"): CannotOccur(_BOOKED_AT_ONCE, _NORMAL["cancel"]),
    ("cancel", "stripe", "key_in_use"): _AGAIN["cancel"],
    ("cancel", "adyen", "key_in_use"): _AGAIN_ADYEN["cancel"],
    ("refund", "simulator", "key_in_use"): CannotOccur(_BOOKED_AT_ONCE, _NORMAL["refund"]),
    ("refund", "stripe", "key_in_use"): _AGAIN["refund"],
    ("refund", "adyen", "key_in_use"): _AGAIN_ADYEN["refund"],
    # The key was used otherwise: never sent again, never given up.
    ("create", "simulator", "key_used_otherwise"): _KEY_TAKEN["create"],
    ("create", "stripe", "key_used_otherwise"): _KEY_TAKEN["create"],
    ("create", "adyen", "key_used_otherwise"): _KEY_TAKEN["create"],
    ("capture", "simulator", "key_used_otherwise"): _KEY_TAKEN["capture"],
    ("capture", "stripe", "key_used_otherwise"): _KEY_TAKEN["capture"],
    ("capture", "adyen", "key_used_otherwise"): _KEY_TAKEN["capture"],
    ("cancel", "simulator", "key_used_otherwise"): _KEY_TAKEN["cancel"],
    ("cancel", "stripe", "key_used_otherwise"): _KEY_TAKEN["cancel"],
    ("cancel", "adyen", "key_used_otherwise"): _KEY_TAKEN["cancel"],
    ("refund", "simulator", "key_used_otherwise"): _KEY_TAKEN["refund"],
    ("refund", "stripe", "key_used_otherwise"): _KEY_TAKEN["refund"],
    ("refund", "adyen", "key_used_otherwise"): _KEY_TAKEN["refund"],
    # The look-up is cut off.
    ("create", "simulator", "look_up_cut_off"): _IN_DOUBT["create"],
    ("create", "stripe", "look_up_cut_off"): _IN_DOUBT["create"],
    ("create", "adyen", "look_up_cut_off"): CannotOccur(_NO_LOOK_UP, _AGAIN_ADYEN["create"]),
    ("capture", "simulator", "look_up_cut_off"): _IN_DOUBT["capture"],
    ("capture", "stripe", "look_up_cut_off"): _IN_DOUBT["capture"],
    ("capture", "adyen", "look_up_cut_off"): CannotOccur(_NO_LOOK_UP, _AGAIN_ADYEN["capture"]),
    ("cancel", "simulator", "look_up_cut_off"): _IN_DOUBT["cancel"],
    ("cancel", "stripe", "look_up_cut_off"): _IN_DOUBT["cancel"],
    ("cancel", "adyen", "look_up_cut_off"): CannotOccur(_NO_LOOK_UP, _AGAIN_ADYEN["cancel"]),
    ("refund", "simulator", "look_up_cut_off"): _IN_DOUBT["refund"],
    ("refund", "stripe", "look_up_cut_off"): _IN_DOUBT["refund"],
    ("refund", "adyen", "look_up_cut_off"): CannotOccur(_NO_LOOK_UP, _AGAIN_ADYEN["refund"]),
    # A retry after a restore. Stripe's captures and cancels name no attempt: the same request is answered with the
    # charge as it is. Adyen's event of a cancel is about the payment, whichever attempt asked for it: it settles both.
    ("create", "simulator", "retry_after_restore"): _KEY_TAKEN["create"],
    ("create", "stripe", "retry_after_restore"): _KEY_TAKEN["create"],
    ("create", "adyen", "retry_after_restore"): _KEY_TAKEN["create"],
    ("capture", "simulator", "retry_after_restore"): _KEY_TAKEN["capture"],
    ("capture", "stripe", "retry_after_restore"): _NORMAL["capture"],
    ("capture", "adyen", "retry_after_restore"): _KEY_TAKEN["capture"],
    ("cancel", "simulator", "retry_after_restore"): _KEY_TAKEN["cancel"],
    ("cancel", "stripe", "retry_after_restore"): _NORMAL["cancel"],
    ("cancel", "adyen", "retry_after_restore"): _KEY_TAKEN["cancel"]._replace(arrives="the outcome, late"),
    ("refund", "simulator", "retry_after_restore"): _KEY_TAKEN["refund"],
    ("refund", "stripe", "retry_after_restore"): _KEY_TAKEN["refund"],
    ("refund", "adyen", "retry_after_restore"): _KEY_TAKEN["refund"],
}
