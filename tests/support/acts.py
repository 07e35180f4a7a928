"""Acts of operators as tests ask for them, and events that the record refuses."""

from __future__ import annotations

from typing import Any

import asyncpg

from tallystick.access.accounts import OperatorVersion, insert_version
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.rejected_case import RejectedCase
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Approved
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.postgres.cases import CaseFilter
from tests.support.database import Database
from tests.support.inbox import accept, drain, envelope
from tests.support.letters import new_letters

#: An operator's API key.
KIM = "key:kimsownkeyabcdef"
INES = "key:inesownkeyabcdef"


def asked(
    act: ActName, target: str, key: str | None = None, *, operator: str = KIM, reason: str = "ticket 7", **more: Any
) -> AskedAct:
    """An act as an operator asks for it."""
    return asked_act(operator, key, act, target, reason, key_kind="human", **more)


def retiring(key_id: bytes, reason: str) -> OperatorAct:
    """A sealing key is given up, as an operator's act."""
    return asked("sealing_key.retire", key_id.hex(), reason=reason).done({}, utc_now())


async def colleague_in(pool: asyncpg.Pool, merchant_id: str | None, **changed: Any) -> str:
    """An enabled operator who may act on this merchant alone, None is all: nobody whom other tests could meet."""
    name = f"op-{new_letters()}"
    version: dict[str, Any] = {
        "operator_id": name,
        "version": 1,
        "state": "active",
        "roles": ["operator"],
        "merchants": None if merchant_id is None else [merchant_id],
        "actor": "shell:test@test",
        "request_id": None,
        "at": utc_now(),
    }
    async with pool.acquire() as connection:
        await insert_version(connection, OperatorVersion(**{**version, **changed}))
    return name


async def refused_event(runtime: Runtime, database: Database, stored: PaymentSnapshot, name: str | None = None) -> str:
    """The provider says that it captured another amount than was asked for, and says so when it is asked: the record
    refuses it. Returns our id of the event."""
    payment, attempt = stored.payment, stored.attempts[0]
    wrong = Approved(amount=payment.amount + 1, currency=payment.currency, effect="captured", reference="ch_wrong")
    notice = AttemptNotice(operation="authorize", attempt_id=attempt.attempt_id, verdict=wrong)
    event = envelope(name or new_id("req"), notice, payment=payment)
    await accept(database, [event])
    await drain(runtime, payment.merchant_id)
    return event.event_id


async def cases_of(runtime: Runtime, merchant_id: str, state: str | None = None) -> list[RejectedCase]:
    """A merchant's cases in one state, or those that wait."""
    return list(await runtime.stores.cases.page(CaseFilter(merchant_id=merchant_id, state=state), None, 100))
