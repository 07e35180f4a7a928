"""The fields of the test acquirer's answers and events that are read here, and the values of them that are known. Data
alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

from tallystick.domain.dispute_movement import Funds
from tallystick.domain.subjects import DisputeState, Operation
from tallystick.domain.verdicts import Effect
from tallystick.providers.contract_drift import AMOUNT, Drift, ReadField, ReadObject, is_one_of, text_in
from tallystick.providers.simulator.codes import DECLINES, PLAIN_DECLINES
from tallystick.providers.simulator.event_codes import EVENT_CODES

_STATES: Final = frozenset({"approved", "declined", "failed", "pending", "requires_action"})

_EFFECTS: Final = frozenset(get_args(Effect))

_MOVES_MONEY: Final = frozenset(code for code, meaning in EVENT_CODES.items() if meaning == "moves_money")

_moves_money = is_one_of("type", _MOVES_MONEY)


def _names_ours(said: Mapping[str, Any]) -> bool:
    """Whether an event is about a payment of ours: one of other software on the account names none."""
    data = said.get("data")
    return _moves_money(said) and not (
        isinstance(data, Mapping) and data.get("merchant_id") is None and data.get("payment_id") is None
    )


_refused = is_one_of("status", {"declined", "failed"})

OPERATION: Final = ReadObject(
    "operation",
    ReadField("attempt_id", decides=True),
    ReadField("operation", known=frozenset(get_args(Operation)), decides=True),
    ReadField("status", known=_STATES, decides=True),
    *AMOUNT,
    ReadField("reference", optional=True),
    ReadField("effect", known=_EFFECTS, optional=True, decides=True),
    ReadField("decline_code", known={*DECLINES, *PLAIN_DECLINES}, when=_refused),
    ReadField("decline_message", when=_refused),
    ReadField("next_action", (dict,), when=is_one_of("status", {"requires_action"})),
    ReadField("occurred_at", optional=True),
)

EVENT: Final = ReadObject(
    "event",
    ReadField("id"),
    ReadField("type", known=EVENT_CODES, decides=True),
    ReadField("created"),
    ReadField("api_version"),
    ReadField("data", (dict,)),
    ReadField("data.merchant_id", when=_names_ours),
    ReadField("data.payment_id", when=_names_ours),
    ReadField("data.charge_id", when=_moves_money),
)

_OCCURRED_AT: Final = ReadField("occurred_at")

CHARGE: Final = ReadObject("charge", *AMOUNT, _OCCURRED_AT, ReadField("effect", known=_EFFECTS, decides=True))

REFUND: Final = ReadObject("refund", *AMOUNT, _OCCURRED_AT, ReadField("reference", decides=True))

DISPUTE: Final = ReadObject(
    "dispute",
    *AMOUNT,
    _OCCURRED_AT,
    ReadField("reference", decides=True),
    ReadField("status", known=frozenset(get_args(DisputeState)), decides=True),
    ReadField("funds", known=frozenset(get_args(Funds)), optional=True, decides=True),  # null: nothing moved
    ReadField("movement", optional=True),
    ReadField("reason"),
)

#: Type of an event about money -> its object. Of most it is an operation.
_OBJECTS: Final[Mapping[str, ReadObject]] = {
    **dict.fromkeys(_MOVES_MONEY, OPERATION),
    "dashboard.captured": CHARGE,
    "charge.expired": CHARGE,
    "dashboard.refunded": REFUND,
    **dict.fromkeys((code for code in EVENT_CODES if code.startswith("dispute.")), DISPUTE),
}


def event_drift(said: object) -> tuple[Drift, ...]:
    """Of an event and its object."""
    found, table = EVENT.drift_in(said), _OBJECTS.get(text_in(said, "type") or "")
    data = said.get("data") if isinstance(said, Mapping) else None
    return found if table is None or data is None else found + table.drift_in(data)
