"""Acts that need a second person: one mechanism for all of them.

Somebody asks, with what they were shown. Others decide on the same: whoever is neither who asked nor an author of what
is approved, and had the right to approve before it was asked for. What was shown is read again before anything is done;
if it has changed, the request is void. The end of a request is one row, so that of two that race one counts.

An act in the record alone is committed with the end of its request. An act that goes through the journal or to a
provider is carried out after it, under the request's id as its key: it is done once, and ``finish`` does it where a
process died in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.access.accounts import Accounts, OperatorVersion
from tallystick.access.viewer import Viewer
from tallystick.domain.errors import TallystickError
from tallystick.domain.work_owner import PERSON
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.postgres.approvals import (
    ApprovalBook,
    ApprovalRequest,
    Decision,
    Ending,
    Outcome,
    end_request,
    hash_of,
)

__all__ = ["Approvable", "Approval", "ApprovalRequest", "NotDecided", "ask", "decide", "finish", "read", "waiting"]

#: A request that nobody decides for so long is asked for again, with today's reasons.
EXPIRES_AFTER: Final = timedelta(days=7)


class NotDecided(TallystickError):
    """Nothing was decided or done; the message says why."""


class ShownChanged(Exception):
    """What was shown has changed while it was carried out: nothing of it is committed, and the request is void."""


class Approval(Struct, frozen=True, kw_only=True):
    """A request with what was said of it, and how it ended; ``outcome`` None while it waits."""

    request: ApprovalRequest
    decisions: Sequence[Decision]
    outcome: Outcome | None

    @property
    def approvers(self) -> list[str]:
        """Who approved it."""
        return [each.decided_by for each in self.decisions if each.approves]


class Approvable(Struct, frozen=True, kw_only=True):
    """An act that may be asked for. ``look``: what a person has to be shown of it now, by target and arguments.
    ``write``: its effect, in the transaction that ends the request; or else ``perform``: its effect afterwards, done
    once under the request's id. ``of_merchant``: what is shown names the merchant that it is about, and whoever is
    limited to that one may see it and decide; other acts are decided by those who are limited to none."""

    act: str
    look: Callable[[Runtime, str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
    write: Callable[[Runtime, Any, Approval, datetime], Awaitable[None]] | None = None
    perform: Callable[[Runtime, Approval], Awaitable[None]] | None = None
    of_merchant: bool = False


async def ask(
    runtime: Runtime,
    what: Approvable,
    target: str,
    arguments: dict[str, Any],
    *,
    requested_by: str,
    reason: str,
    authors: Sequence[str] = (),
    needed: int = 1,
    request_id: str | None = None,
) -> ApprovalRequest:
    """Ask for it. ``request_id``: of whoever may ask for the same twice; a new one otherwise. Raises NotDecided where
    too few could ever decide, what ``look`` raises, and asyncpg.UniqueViolationError where there is one of this id."""
    now, request_id = runtime.clock.now(), request_id or new_id("apr")
    shown = await what.look(runtime, target, arguments)
    request = ApprovalRequest(
        request_id=request_id,
        act=what.act,
        target=target,
        merchant_id=shown["merchant"] if what.of_merchant else None,
        arguments=arguments,
        shown=shown,
        shown_hash=hash_of(request_id, what.act, target, arguments, shown),
        authors=sorted(authors),
        needed=needed,
        reason=reason,
        requested_by=requested_by,
        requested_at=now,
        expires_at=now + EXPIRES_AFTER,
    )
    able = [each for each in await runtime.stores.accounts.newest() if _may_decide(each, request)]
    if len(able) < needed:
        raise NotDecided(f"{needed} other people would have to approve this, and {len(able)} could; nothing was asked")
    await runtime.stores.approvals.insert(request)
    return request


async def read(runtime: Runtime, request_id: str) -> Approval | None:
    """A request as it stands."""
    book = runtime.stores.approvals
    request = await book.find(request_id)
    if request is None:
        return None
    return Approval(request=request, decisions=await book.decisions(request_id), outcome=await book.outcome(request_id))


async def waiting(
    runtime: Runtime, before: str | None = None, limit: int = 100, merchants: Collection[str] | None = None
) -> list[Approval]:
    """A page of requests, the newest first, as they stand; ``merchants``: about these alone."""
    book = runtime.stores.approvals
    rows = await book.page(before, limit, merchants)
    ids = [row.request_id for row in rows]
    decisions, outcomes = await book.decisions_of(ids), await book.outcomes_of(ids)
    return [
        Approval(request=row, decisions=decisions.get(row.request_id, ()), outcome=outcomes.get(row.request_id))
        for row in rows
    ]


async def decide(
    runtime: Runtime,
    acts: Mapping[str, Approvable],
    request_id: str,
    viewer: Viewer,
    *,
    approves: bool,
    seen_hash: bytes,
    reason: str,
) -> Approval:
    """One person's word; the one that is enough carries the act out. ``seen_hash``: of what the person was shown.
    Raises NotDecided, and what carrying out raises."""
    now, book = runtime.clock.now(), runtime.stores.approvals
    approval = await _open(runtime, request_id, now)
    request = approval.request
    await _require_decider(runtime.stores.accounts, request, viewer)
    if seen_hash != request.shown_hash:
        raise NotDecided("what you were shown is not what was asked for; load it again")
    what = acts[request.act]
    await _require_unchanged(runtime, what, request, now)
    word = Decision(decided_by=viewer.actor, approves=approves, shown_hash=seen_hash, reason=reason, at=now)
    try:
        await book.decide(request_id, word)
    except asyncpg.UniqueViolationError:
        if not await _is_repeated(book, request_id, word):
            raise NotDecided("you have decided on this before") from None
    if not approves:
        await _end(runtime, request_id, "rejected", f"{viewer.actor}: {reason}", now)
        return await _read(runtime, request_id)
    return await _carry_out(runtime, what, request_id, now)


async def is_as_approved(runtime: Runtime, what: Approvable, request: ApprovalRequest) -> bool:
    """Whether what was shown is still so, and whoever asked still may: an act that was approved and not done is done
    long after the approval, with nobody there. Raises what ``look`` raises."""
    if request.requested_by.startswith(PERSON):
        asker = await runtime.stores.accounts.find(request.requested_by.removeprefix(PERSON))
        if asker is None or not asker.may("money"):
            return False
        if asker.merchants is not None and request.merchant_id not in asker.merchants:
            return False
    shown = await what.look(runtime, request.target, request.arguments)
    return hash_of(request.request_id, request.act, request.target, request.arguments, shown) == request.shown_hash


async def finish(runtime: Runtime, acts: Mapping[str, Approvable], request_id: str) -> Approval:
    """Carry out what was approved and not done, because a process died. Raises NotDecided if it was not approved."""
    approval = await _read(runtime, request_id)
    if approval.outcome is None or approval.outcome.outcome != "approved":
        raise NotDecided("it was not approved")
    perform = acts[approval.request.act].perform
    if perform is not None:
        await perform(runtime, approval)
    return approval


async def _carry_out(runtime: Runtime, what: Approvable, request_id: str, now: datetime) -> Approval:
    """If enough people have approved, who still may."""
    approval = await _read(runtime, request_id)
    request, accounts = approval.request, runtime.stores.accounts
    if (against := next((each for each in approval.decisions if not each.approves), None)) is not None:
        # Whoever rejected it died before its end was written: their word counts all the same.
        await _end(runtime, request_id, "rejected", f"{against.decided_by}: {against.reason}", now)
        raise NotDecided(f"{against.decided_by} has rejected it")
    valid = 0
    for actor in approval.approvers:
        operator = await accounts.find(actor.removeprefix(PERSON))
        valid += operator is not None and _may_decide(operator, request)
    if valid < request.needed:
        return approval
    try:
        async with runtime.pool.acquire() as connection, connection.transaction():
            await end_request(connection, request_id, "approved", ", ".join(approval.approvers), now)
            if what.write is not None:
                await what.write(runtime, connection, approval, now)
    except (asyncpg.UniqueViolationError, ShownChanged):
        # Somebody else ended the request; or took what the act needs, such as the operator's next version.
        ended = await runtime.stores.approvals.outcome(request_id)
        if ended is None:
            await _end(runtime, request_id, "void", "what was shown changed while it was decided", now)
        if ended is None or ended.outcome != "approved":
            raise NotDecided("it ended otherwise just now; nothing was done") from None
    if what.perform is not None:
        await what.perform(runtime, approval)
    return await _read(runtime, request_id)


async def _open(runtime: Runtime, request_id: str, now: datetime) -> Approval:
    approval = await read(runtime, request_id)
    if approval is None:
        raise NotDecided(f"there is no request {request_id}")
    if approval.outcome is None and now >= approval.request.expires_at:
        await _end(runtime, request_id, "expired", "nobody decided in time", now)
        raise NotDecided("it has expired; ask for it again")
    if approval.outcome is not None:
        raise NotDecided(f"it has ended: {approval.outcome.outcome}")
    return approval


async def _require_decider(accounts: Accounts, request: ApprovalRequest, viewer: Viewer) -> None:
    """Raises NotDecided. The session may lack a right that the record gives: one without a second factor."""
    if not viewer.may("approve"):
        raise NotDecided("you may not approve")
    if viewer.actor == request.requested_by:
        raise NotDecided("you asked for it; somebody else decides")
    if viewer.actor in request.authors:
        raise NotDecided("it is about what you made, or about you; somebody else decides")
    if not viewer.sees(request.merchant_id):
        raise NotDecided("it is about a merchant that you are not limited to")
    then = await accounts.at(viewer.operator_id, request.requested_at)
    if then is None or not then.may("approve"):
        raise NotDecided("your right to approve is younger than the request")


def _may_decide(operator: OperatorVersion, request: ApprovalRequest) -> bool:
    """Whether the operator might decide now."""
    actor = PERSON + operator.operator_id
    sees = operator.merchants is None or request.merchant_id in operator.merchants
    return operator.may("approve") and sees and actor != request.requested_by and actor not in request.authors


async def _require_unchanged(runtime: Runtime, what: Approvable, request: ApprovalRequest, now: datetime) -> None:
    """What was shown is still so. Raises NotDecided, and then the request is void."""
    shown = await what.look(runtime, request.target, request.arguments)
    if hash_of(request.request_id, request.act, request.target, request.arguments, shown) != request.shown_hash:
        await _end(runtime, request.request_id, "void", "what was shown has changed", now)
        raise NotDecided("what was shown has changed since; ask for it again")


async def _is_repeated(book: ApprovalBook, request_id: str, word: Decision) -> bool:
    """Whether the person said the same before: a form that was sent twice."""
    return any(
        each.decided_by == word.decided_by and each.approves == word.approves
        for each in await book.decisions(request_id)
    )


async def _end(runtime: Runtime, request_id: str, outcome: Ending, detail: str, now: datetime) -> None:
    """Raises NotDecided where it has ended already, otherwise."""
    try:
        await end_request(runtime.pool, request_id, outcome, detail, now)
    except asyncpg.UniqueViolationError:
        ended = await runtime.stores.approvals.outcome(request_id)
        if ended is None or ended.outcome != outcome:
            raise NotDecided("it ended otherwise just now") from None


async def _read(runtime: Runtime, request_id: str) -> Approval:
    found = await read(runtime, request_id)
    if found is None:
        raise NotDecided(f"there is no request {request_id}")
    return found
