"""Erasure of what is personal: of one payment, or of all that a merchant has. It always needs a second person.

A payment is erased in the transaction that ends the request. Of a merchant that transaction writes down what is to be
erased, and workers erase it in pages, each one transaction with the note of how far it came: a kill costs a page.

What providers sent and answered about a payment is erased with it. Bytes that hold events of several payments are
erased whole. What comes to an erased payment afterwards is erased soon after (``erase_what_came_since``): it stays
erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import ActName, AskedAct
from tallystick.domain.work_owner import PERSON
from tallystick.flows.compliance.four_eyes import Approvable, Approval, ShownChanged
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH, unsealed_part
from tallystick.kit.ids import is_id, new_id
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres import erasures
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.arrival_keys import is_wrapped, unwrapped
from tallystick.record.postgres.erasures import Erasure, KeptArrival
from tallystick.record.postgres.inbox_rows import EventName
from tallystick.record.postgres.personal import personal_of
from tallystick.record.sealing import SealBroken, delivery_row

log = get_logger(__name__)

#: Payments in one transaction of an erasure: a few seconds on a slow machine, with what providers sent about them.
PAGE_PAYMENTS: Final = 100

#: Erasures that one round goes on with, and erased payments that one looks at for what came to them since.
LOOKED_AT: Final = 1_000

#: How often it is looked whether something is to be erased; while there is, page follows page.
EVERY_MS: Final = 5_000

#: How often it is looked for what came to erased payments since: of a thousand it is erased within the minute.
SINCE_EVERY_MS: Final = 60_000

#: What a person does about rows of an older release.
PREPARE: Final = "run `tallystick erase prepare` as the owner of the tables first; nothing was erased"

PAYMENT: Final[ActName] = "payment.erase"
MERCHANT: Final[ActName] = "merchant.erase"

#: What needs a second person whatever its amount.
ALWAYS: Final = frozenset({PAYMENT, MERCHANT})


class NotErasable(TallystickError):
    """Nothing was erased; the message says why."""


class NothingToErase(NotErasable):
    """There is no such payment or merchant."""


async def _look_at_payment(runtime: Runtime, payment_id: str, _: Mapping[str, Any]) -> dict[str, Any]:
    """The payment, and which of its fields have something. Raises NotErasable."""
    merchant_id = await erasures.merchant_of(runtime.pool, payment_id) if is_id("pay", payment_id) else None
    if merchant_id is None:
        raise NothingToErase(f"there is no payment {payment_id}")
    await _require_moved(runtime.pool, merchant_id, [payment_id])
    found = (await personal_of(runtime.pool, [(merchant_id, payment_id)]))[merchant_id, payment_id]
    named = {"description": found.values.description, "metadata": found.values.metadata}
    return {
        "payment": payment_id,
        "merchant": merchant_id,
        "fields": [name for name, value in named.items() if value],
        "erased before by": found.erased_by,
        "what providers sent": "erased too",
    }


async def _look_at_merchant(runtime: Runtime, merchant_id: str, _: Mapping[str, Any]) -> dict[str, Any]:
    """The merchant. Raises NotErasable."""
    if await runtime.pool.fetchval("SELECT 1 FROM merchant WHERE merchant_id = $1", merchant_id) is None:
        raise NothingToErase(f"there is no merchant {merchant_id}")
    return {"merchant": merchant_id, "payments": "all that are there when it is approved"}


async def _write_payment(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    merchant_id = request.shown["merchant"]
    begun = await erasures.begin_erasure(connection, merchant_id, request.request_id, request.target, now)
    if not await _erase_page(runtime, connection, begun, now):
        raise ShownChanged
    await _record(connection, PAYMENT, approval, now, merchant_id, request.target)


async def _write_merchant(runtime: Runtime, connection: Any, approval: Approval, now: datetime) -> None:
    request = approval.request
    await erasures.begin_erasure(connection, request.target, request.request_id, None, now)
    await _record(connection, MERCHANT, approval, now, request.target, None)


APPROVABLE: Final[Mapping[str, Approvable]] = {
    PAYMENT: Approvable(act=PAYMENT, look=_look_at_payment, write=_write_payment, of_merchant=True),
    MERCHANT: Approvable(act=MERCHANT, look=_look_at_merchant, write=_write_merchant, of_merchant=True),
}


class Erasures:
    """A worker's part: goes on with what is to be erased, and erases what came to erased payments since."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._after = ("", "")
        self._lines = SampledLines()

    async def round(self) -> int:
        """A page of each, the one that was approved first before the others. Returns how many payments were erased. One
        that cannot go on holds up no other: raises NotErasable where nothing else was erased."""
        done, refused = 0, None
        for each in await erasures.unfinished(self._runtime.pool, LOOKED_AT):
            try:
                done += await go_on(self._runtime, each)
            except NotErasable as error:
                refused = refused or error
        if refused is not None and not done:
            raise refused
        return done

    async def erase_what_came_since(self) -> None:
        """What providers sent about the next erased payments. What cannot be erased is left, and said to a person: it
        holds up nothing else."""
        found = await erasures.erased_payments(self._runtime.pool, self._after, LOOKED_AT)
        async with self._runtime.pool.acquire() as connection, connection.transaction():
            await erasures.erase_answers(connection, found)
            kept = await erasures.kept_arrivals(connection, found)
            events, left = await _events_of(self._runtime, kept)
            await erasures.erase_events(connection, events)
        for arrival, why in left:
            self._lines.line("left", partial(_say_left, arrival, why))
        self._after = found[-1][:2] if len(found) == LOOKED_AT else ("", "")


def _say_left(arrival: KeptArrival, why: NotErasable, lines: int) -> None:
    log.error(
        "arrival of an erased payment not erased",
        alert=True,
        provider=arrival.provider,
        account=arrival.account,
        provider_event_id=arrival.provider_event_id,
        delivery_id=arrival.delivery_id,
        request_id=arrival.erased_by,
        reason=str(why),
        since_last_line=lines,
        next="tallystick erase prepare",
    )


async def go_on(runtime: Runtime, of: Erasure) -> int:
    """The next page of an erasure. Returns how many payments it erased. Raises NotErasable."""
    async with runtime.pool.acquire() as connection, connection.transaction():
        return await _erase_page(runtime, connection, of, runtime.clock.now())


async def _erase_page(runtime: Runtime, connection: Any, of: Erasure, now: datetime) -> int:
    payment_ids = await erasures.to_erase(connection, of, PAGE_PAYMENTS)
    await _require_moved(connection, of.merchant_id, payment_ids)
    emptied = await erasures.erase(connection, of.merchant_id, payment_ids, of.request_id)
    erased = [(of.merchant_id, payment_id, of.request_id) for payment_id in payment_ids]
    is_last = of.payment_id is not None or len(payment_ids) < PAGE_PAYMENTS
    await erasures.erase_answers(connection, erased)
    kept = await erasures.kept_arrivals(connection, erased)
    if is_last and of.payment_id is None:
        kept += await erasures.kept_unrouted(connection, of)
    events = await _erase_events(runtime, connection, kept)
    after = payment_ids[-1] if payment_ids else of.after
    if not await erasures.go_on(connection, of, after, emptied, events, now if is_last else None):
        return 0  # another worker did the same: what it erased is erased
    return len(payment_ids)


async def _require_moved(connection: Any, merchant_id: str, payment_ids: Sequence[str]) -> None:
    """Raises NotErasable."""
    if left := await erasures.not_moved(connection, merchant_id, payment_ids):
        raise NotErasable(
            f"rows of {left[0]} were written by a release that knew no erasure, or are not what it says: {PREPARE}"
        )


async def _erase_events(runtime: Runtime, connection: Any, kept: Sequence[KeptArrival]) -> int:
    """Those that these arrivals are of. Raises NotErasable."""
    events, left = await _events_of(runtime, kept)
    if left:
        raise left[0][1]
    return await erasures.erase_events(connection, events)


async def _events_of(
    runtime: Runtime, kept: Sequence[KeptArrival]
) -> tuple[dict[EventName, str], list[tuple[KeptArrival, NotErasable]]]:
    """The events of these arrivals, and of those that came with them, each with the request that erases it; and the
    arrivals that cannot be erased. An event of one of these stays whole, so that it is looked at again."""
    events: dict[EventName, str] = {}
    left: list[tuple[KeptArrival, NotErasable]] = []
    for each in kept:
        try:
            elsewhere = _kept_with(runtime, each)
        except NotErasable as error:
            left.append((each, error))
            continue
        events[each.event] = each.erased_by
        if elsewhere is not None:
            found = await runtime.stores.inbox.delivery_named(each.provider, each.account, elsewhere)
            if found is not None:
                events.setdefault(found[0], each.erased_by)
    for arrival, _ in left:
        events.pop(arrival.event, None)
    return events, left


def _kept_with(runtime: Runtime, arrival: KeptArrival) -> str | None:
    """The arrival that has its bytes, where it came with others. Raises NotErasable."""
    if not is_wrapped(arrival.sealed):
        raise NotErasable(f"the bytes of arrival {arrival.delivery_id} have no key of their event: {PREPARE}")
    if runtime.sealer.refused is not None:
        raise NotErasable(f"where bytes of arrivals are kept cannot be read here: {runtime.sealer.refused}")
    sealed = unwrapped(arrival.raw_key, arrival.sealed, arrival.name)
    try:
        headers, body = unsealed_part(runtime.sealer.open(sealed, delivery_row(*arrival.name)))
    except SealBroken:
        return None  # by a key that was given up: nobody opens that with which it came either
    return None if body else headers.get(KEPT_WITH)


async def _record(
    connection: Any, act: ActName, approval: Approval, now: datetime, merchant_id: str, payment_id: str | None
) -> None:
    request = approval.request
    asked = AskedAct(
        operator=request.requested_by,
        idempotency_key=request.request_id,
        act_id=new_id("opa"),
        act=act,
        target=request.target,
        arguments=request.arguments,
        reason=request.reason,
        key_kind="human" if request.requested_by.startswith(PERSON) else None,
    )
    result = {"request": request.request_id, "approved_by": list(approval.approvers)}
    await insert_act(connection, asked.done(result, now, merchant_id=merchant_id, payment_id=payment_id))
