"""Acts on rows of a list: on one, on some, on everything that a filter selects. What is done is what was previewed: the
form brings the previewed ids and their digest, and a key under which each of them is acted on once. Where all of it
together is more than one person may move, a second one is asked about each row."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal, get_args
from urllib.parse import quote

from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import ActKeyReused, AskedAct, OperatorAct, WordsRefused
from tallystick.flows.compliance.amounts import NeedsSecondPerson, currencies_above
from tallystick.flows.compliance.approvable import OF_MONEY, ask_second_person, done_for
from tallystick.flows.operations.acts import asked_act, perform
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.page import Answer, PageRequest, Redirect, Refused, View
from tallystick.interfaces.console.words import Words
from tallystick.interfaces.console.work_filters import filters_of, query_of, work_filter
from tallystick.interfaces.console.work_list import (
    ListAct,
    WorkPage,
    colleagues_for,
    digest_of,
    money_of,
    reads,
)
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.oversight.console import Total, WorkFilter, WorkItem
from tallystick.providers.assembly import secret_values

log = get_logger("tallystick.interfaces.console")

#: One act is on at most so many rows: a browser waits for it, and a person can read what became of each. A preview of
#: more says how many are left.
MOST: Final = 1_000

#: Rows that are acted on at the same time: the connections of this process are also others'.
_AT_ONCE: Final = 8

#: An amount in minor units, and its currency.
_Moved = tuple[int, str]

Became = Literal["done", "done before", "asked for", "refused", "failed"]


class Result(Struct, frozen=True, kw_only=True):
    """What became of one row."""

    item_id: str
    became: Became
    says: str


async def ticked(page: WorkPage, request: PageRequest) -> Answer:
    """The preview of the rows that were ticked."""
    act = next((each for each in page.acts if each.name == request.form.get("act")), None)
    ids = request.form.all("tick")[:MOST]
    if act is None or not ids:
        raise Refused(400, "No row was ticked. Nothing was done.")
    kept = filters_of(request.form)
    chosen = f"ids={quote(','.join(ids), safe=',')}"
    return Redirect(f"{page.path}/{act.name}/preview?{f'{kept}&' if kept else ''}{chosen}")


async def preview(page: WorkPage, act: ListAct, request: PageRequest) -> Answer:
    """Which rows it would be, how many and how much money; nothing is done."""
    which, book = work_filter(request), reads(request)
    chosen = [each for each in request.query.get("ids", "").split(",") if each][:MOST]
    rows = await book.page(page.work, which, None, MOST, ids=chosen or None)
    in_all = len(rows) if chosen else sum(each.n for each in await book.totals(page.work, which))
    ids = [each.item_id for each in rows]
    return View(
        template="preview.html",
        context={
            "title": f"{act.label}: {page.title.lower()}",
            "page": page,
            "act": act,
            "rows": rows,
            "ids": ",".join(ids),
            "money": ",".join(money_of(rows)),
            "digest": digest_of(act.name, ids, money_of(rows)),
            "key": new_id("opa"),
            "sums": sums_of(rows),
            "without": sum(each.amount is None for each in rows),
            "left": in_all - len(rows),
            "above": currencies_above(request.runtime.settings, filter(None, _previewed(act, money_of(rows)))),
            "query": query_of(request),
            "colleagues": await colleagues_for([act], request, rows),
            "w": Words(request.runtime.clock.now()),
        },
    )


async def act_on(page: WorkPage, act: ListAct, request: PageRequest) -> Answer:
    """Do it: each row once, under the form's key, with what became of it. A row that is about other money by now than
    when it was previewed is left."""
    form = request.form
    ids, money = [each for each in form.get("ids").split(",") if each], form.get("money").split(",")
    if not ids or len(ids) > MOST or len(set(ids)) != len(ids):
        raise Refused(400, "The form names no rows. Nothing was done.")
    if len(money) != len(ids) or form.get("digest") != digest_of(act.name, ids, money):
        raise Refused(400, "These are not the rows that were previewed. Nothing was done; preview them again.")
    key, reason, fields = form.get("key"), form.get("reason"), act.wanted(form)
    asked = [_asked(request, act, item_id, key, reason, fields) for item_id in ids]
    try:
        asked[0].require_words(secret_values(request.runtime.settings))
    except WordsRefused as error:
        raise Refused(400, f"{error}. Nothing was done.") from None
    left = await _left(page, request, dict(zip(ids, money, strict=True)))
    room = asyncio.Semaphore(_AT_ONCE)
    why = await _why_second_person(request.runtime, room, asked, _previewed(act, money), left)

    async def one(each: AskedAct) -> Result:
        if each.target in left:
            return Result(item_id=each.target, became="refused", says=left[each.target])
        async with room:
            return await _done(request.runtime, act, each, fields, why[each.target])

    results = await asyncio.gather(*map(one, asked))
    counted = {name: sum(each.became == name for each in results) for name in get_args(Became)}
    return View(
        template="results.html",
        context={
            "title": f"{act.label}: what became of it",
            "page": page,
            "act": act,
            "results": results,
            "counted": {name: count for name, count in counted.items() if count},
            "reason": reason,
            "query": filters_of(form),
            "w": Words(request.runtime.clock.now()),
        },
    )


def sums_of(rows: Sequence[WorkItem]) -> list[Total]:
    """How many rows and how much money there is in each currency."""
    found: dict[str, list[int]] = {}
    for each in rows:
        if each.currency is not None and each.amount is not None:
            found.setdefault(each.currency, []).append(each.amount)
    return [Total(currency=name, n=len(amounts), amount=sum(amounts)) for name, amounts in sorted(found.items())]


def _asked(request: PageRequest, act: ListAct, item_id: str, key: str, reason: str, fields: dict[str, str]) -> AskedAct:
    """Each row's act has a key of its own, made from the form's: sent twice, it is done once."""
    own = hashlib.sha256(f"{key}\n{item_id}".encode()).hexdigest()[:48] if key else None
    if own is None:
        raise Refused(400, "The form has no key. Nothing was done.")
    return asked_act(request.viewer.actor, own, act.act, item_id, reason, **fields)


async def _left(page: WorkPage, request: PageRequest, money: Mapping[str, str]) -> dict[str, str]:
    """The rows that are not acted on, and why. ``money``: what each was previewed as. Whoever sees every merchant may
    repeat an act on what waits no more, and is told what it came to; others act on what they see."""
    which = WorkFilter(merchants=request.viewer.merchants)
    rows = await reads(request).page(page.work, which, None, MOST, ids=list(money))
    is_now = {each.item_id: amount for each, amount in zip(rows, money_of(rows), strict=True)}
    left = {each: "it does not wait here any more" for each in money if each not in is_now}
    if request.viewer.merchants is None:
        left = {}
    changed = {each: amount for each, amount in is_now.items() if amount != money[each]}
    shown = "it is about other money than when it was previewed: preview it again"
    return left | dict.fromkeys(changed, shown)


def _previewed(act: ListAct, money: Sequence[str]) -> list[_Moved | None]:
    """What the act moves of each row, as it was previewed; None: not known, or no act of money. Raises Refused."""
    if act.act not in OF_MONEY:
        return [None] * len(money)
    parts = [each.partition(" ") for each in money]
    try:
        return [(int(amount), currency) if amount else None for amount, _, currency in parts]
    except ValueError:
        raise Refused(400, "The form cannot be read. Nothing was done.") from None


async def _why_second_person(
    runtime: Runtime,
    room: asyncio.Semaphore,
    asked: Sequence[AskedAct],
    previewed: Sequence[_Moved | None],
    left: Collection[str],
) -> dict[str, str | None]:
    """Why each row needs a second person whatever it moves alone: all of them together move more of its currency than
    one person may. ``left``: rows that are not acted on count as they were previewed. Raises Refused."""

    async def moved(each: AskedAct, before: _Moved | None) -> _Moved | None:
        if each.target in left:
            return before
        async with room:
            return await _moved(runtime, each, before)

    found = await asyncio.gather(*map(moved, asked, previewed))
    above = currencies_above(runtime.settings, filter(None, found))
    said = {
        currency: f"{total} {currency} (minor units) in one act is more than one person may move; nothing was done"
        for currency, total in above.items()
    }
    return {each.target: said.get(of[1]) if of else None for each, of in zip(asked, found, strict=True)}


async def _moved(runtime: Runtime, asked: AskedAct, previewed: _Moved | None) -> _Moved | None:
    """What the act moves of one row, in minor units with the currency: the amount by which it is judged alone, since
    only what was said with the form tells which posting a row is. At least as it was previewed, so that a form that is
    sent again is judged as before. Raises Refused."""
    if asked.act not in OF_MONEY or runtime.settings.second_person_above is None:
        return previewed
    try:
        shown = await OF_MONEY[asked.act].look(runtime, asked.target, asked.arguments)
    except (TallystickError, ValueError):  # as it is, it cannot be done, and each row says so for itself
        return previewed
    except Exception:  # what it moves is not known
        log.exception("row of an act on many cannot be read", act=asked.act, target=asked.target)
        raise Refused(409, "The rows cannot be read just now. Nothing was done; send the form again.") from None
    amount, currency = shown["amount"], shown["currency"]
    return max(abs(amount), abs(previewed[0]) if previewed else 0), currency


async def _done(
    runtime: Runtime, act: ListAct, asked: AskedAct, fields: dict[str, str], why: str | None = None
) -> Result:
    """What became of one row. ``why``: a second person is needed whatever this row moves."""

    async def do() -> OperatorAct:
        if why is not None:
            raise NeedsSecondPerson(why)
        return await act.do(runtime, asked, fields)

    try:
        done, before = await perform(runtime.stores.acts, runtime.settings, asked, do)
    except NeedsSecondPerson as error:
        return await _asked_for(runtime, asked, str(error))
    except ActKeyReused:
        return Result(item_id=asked.target, became="refused", says="the form was sent before with other words")
    except (TallystickError, ValueError) as error:
        return Result(item_id=asked.target, became="refused", says=str(error))
    except Exception as error:  # of one row: what became of the others is told all the same
        log.exception("act on a row failed", act=asked.act, target=asked.target)
        says = f"{type(error).__name__}: send the form again; what was done is not done twice"
        return Result(item_id=asked.target, became="failed", says=says)
    return Result(item_id=asked.target, became="done before" if before else "done", says=done.act_id)


async def _asked_for(runtime: Runtime, asked: AskedAct, why: str) -> Result:
    """More than one person may move: a second one is asked."""
    try:
        if (done := await done_for(runtime, asked)) is not None:
            return Result(item_id=asked.target, became="done before", says=done.act_id)
        request = await ask_second_person(runtime, asked)
    except TallystickError as error:
        return Result(item_id=asked.target, became="refused", says=f"{why}; {error}")
    return Result(item_id=asked.target, became="asked for", says=f"a second person decides: {request.request_id}")
