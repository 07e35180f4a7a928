"""The entries of a trace in words: what ``tallystick trace`` prints, one entry a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from rich.table import Table

from tallystick.cli.reading import shown_time
from tallystick.cli.tables import literal
from tallystick.domain.lifecycles.table import NEW
from tallystick.oversight.trace import words
from tallystick.oversight.trace.entries import Entry
from tallystick.oversight.trace.first_line import money


def timeline_table(entries: list[Entry]) -> Table:
    """Time of day, kind and words; a line of its own for each day."""
    table = Table(box=None, show_header=False, pad_edge=False, title="What happened (UTC)", title_justify="left")
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    day = ""
    for entry in entries:
        if (of := _day(entry.at)) != day:
            day = of
            table.add_row(day, "", "")
        table.add_row(_clock(entry.at), entry.kind, literal(words_of(entry)))
    return table


def words_of(entry: Entry) -> str:
    """One entry for people."""
    return ", ".join(part for part in _WORDS[entry.kind](entry) if part)


def _day(at: datetime | None) -> str:
    return "no time" if at is None else shown_time(at)[:10]


def _clock(at: datetime | None) -> str:
    return "" if at is None else f"{shown_time(at)[11:]}.{at.microsecond // 1000:03d}"


def _amount(entry: Entry) -> str:
    return "" if entry.amount is None or entry.currency is None else money(entry.amount, entry.currency)


def _by(entry: Entry) -> str:
    return f"by {entry.actor}" if entry.actor else ""


def _times(entry: Entry) -> str:
    if entry.count is None:
        return ""
    last = f", last {shown_time(entry.last_at)}" if entry.last_at is not None else ""
    return f"{entry.count} times{last}"


def _request(entry: Entry) -> Iterator[str]:
    yield f"asked: {entry.what}"
    yield f"key {entry.idempotency_key}"
    yield _by(entry)


def _answer(entry: Entry) -> Iterator[str]:
    yield f"answer {entry.status} recorded for key {entry.idempotency_key}"


def _replay(entry: Entry) -> Iterator[str]:
    yield words.one_of(words.REPLAYS, entry.what)
    yield f"key {entry.idempotency_key}"
    yield _times(entry)


def _moved(entry: Entry) -> str:
    """From which state to which; a step that keeps its state says nothing of it."""
    before, after = words.plain(entry.from_state or ""), words.plain(entry.to_state or "")
    if entry.from_state == NEW:
        return f"now {after}"
    return "" if before == after else f"was {before}, now {after}"


def _step(entry: Entry) -> Iterator[str]:
    yield words.step(entry.subject, entry.what)
    yield _moved(entry)
    yield f"by {words.cause(entry.cause, entry.actor)}"
    if entry.subject != "payment":
        yield entry.subject_id or ""


def _rejection(entry: Entry) -> Iterator[str]:
    state = words.plain(entry.from_state or "")
    subject = "call" if entry.subject == "attempt" else entry.subject
    yield f"refused, as the {subject} was {state}: {words.refused(entry.subject, entry.what)}"
    yield entry.detail or ""
    yield f"by {words.cause(entry.cause, entry.actor)}"
    yield "a person was alerted" if entry.alert else ""


def _call(entry: Entry) -> Iterator[str]:
    """``subject`` is the operation."""
    operation = words.one_of(words.OPERATIONS, entry.subject or "")
    if entry.what in ("submit", "resubmit"):
        yield f"{operation} of {_amount(entry)} {words.step('attempt', entry.what)} at {entry.provider}"
        yield entry.subject_id or ""
        return
    yield f"{operation}: {words.step('attempt', entry.what)} {_amount(entry)}".rstrip()
    yield words.reason(entry.detail or "")
    yield entry.reference or ""
    if entry.cause != "answer":
        yield f"by {words.cause(entry.cause, entry.actor)}"


def _arrival(entry: Entry) -> Iterator[str]:
    yield f"{entry.detail} from {entry.provider}/{entry.account} {words.one_of(words.ARRIVALS, entry.what)}"
    yield _times(entry)
    yield entry.event_id or ""


def _try(entry: Entry) -> Iterator[str]:
    about = f"{entry.detail}: " if entry.detail else ""
    yield f"{about}{words.one_of({**words.TRIES, **words.SENDS}, entry.what)}"
    yield _by(entry)


def _transfer(entry: Entry) -> Iterator[str]:
    kind = words.one_of(words.TRANSFERS, entry.what)
    credit, debit = words.account(entry.credit), words.account(entry.debit)
    yield f"{kind}: {_amount(entry)} credited to {credit}, debited to {debit}"


def _message(entry: Entry) -> Iterator[str]:
    yield f"{entry.what} written"
    yield entry.message_id or ""


def _delivery(entry: Entry) -> Iterator[str]:
    yield f"{entry.detail} to {entry.endpoint_id}: {words.one_of(words.DELIVERIES, entry.what)}"
    yield "" if entry.count is None else f"{entry.count} {'try' if entry.count == 1 else 'tries'}"


def _send(entry: Entry) -> Iterator[str]:
    status = "" if entry.status is None else f" (status {entry.status})"
    yield f"{entry.detail}: {words.one_of(words.SENDS, entry.what)}{status}"
    yield "" if entry.duration_ms is None else f"{entry.duration_ms} ms"
    yield _by(entry)


def _act(entry: Entry) -> Iterator[str]:
    if entry.act_id is None:  # of an event or a message: one of its tries
        yield from _try(entry)
        return
    yield f"{words.one_of(words.ACTS, entry.what)}: {entry.reason}"
    yield _by(entry)
    yield from _result(entry.result or {})
    yield entry.subject_id or ""


def _result(result: Mapping[str, Any]) -> Iterator[str]:
    """What an act came to, in short; ``--json`` has all of it."""
    for step in result.get("transitions") or ():
        yield words.step(step["subject"], step["event"])
    for refused in result.get("rejected") or ():
        yield f"refused: {words.refused(refused['subject'], refused['event'])}"
    if isinstance(result.get("came_to"), str):
        yield f"came to: {words.plain(result['came_to'])}"


def _case(entry: Entry) -> Iterator[str]:
    yield f"{words.one_of(words.CATEGORIES, entry.what)}: {entry.detail}"
    owner = "nobody has it" if entry.owner is None else f"{entry.owner} has it"
    yield f"{words.one_of(words.CASES, entry.state or '')}, {owner}"
    yield f"age {_age(entry.age_ms or 0)}"
    yield entry.case_id or ""


def _age(age_ms: int) -> str:
    """In the largest unit of which there are two."""
    seconds = age_ms // 1000
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} seconds"


_WORDS: Final[Mapping[str, Callable[[Entry], Iterator[str]]]] = {
    "request": _request,
    "answer": _answer,
    "replay": _replay,
    "step": _step,
    "rejection": _rejection,
    "call": _call,
    "arrival": _arrival,
    "try": _try,
    "transfer": _transfer,
    "message": _message,
    "delivery": _delivery,
    "send": _send,
    "act": _act,
    "case": _case,
}
