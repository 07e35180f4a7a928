"""The timeline of a payment as a page draws it: lanes, gaps, and unimportant steps that are folded together and never
left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Literal, assert_never

from markupsafe import Markup
from msgspec import Struct

from tallystick.interfaces.console.words import bounded, duration, money, plural, spoken
from tallystick.oversight.trace.entries import Entry, EntryKind

#: Who did it: each has a line in the drawing.
Lane = Literal["merchant", "platform", "provider", "operator"]

LANES: Final[tuple[Lane, ...]] = ("merchant", "platform", "provider", "operator")

_LANE: Final[Mapping[EntryKind, Lane]] = {
    "request": "merchant", "answer": "merchant", "replay": "merchant", "message": "merchant", "delivery": "merchant",
    "send": "merchant", "step": "platform", "transfer": "platform", "rejection": "platform", "case": "platform",
    "try": "platform", "call": "provider", "arrival": "provider", "evidence": "provider",
    "act": "operator",
}  # fmt: skip

#: What follows from a step beside it, and is looked at by who looks for it.
_FOLDED: Final[frozenset[EntryKind]] = frozenset({"transfer", "message", "delivery", "answer"})

#: What went as it should.
_ORDINARY: Final = frozenset({"applied", "delivered", "first", "accepted"})

#: A line says that time passed where so much did: the steps of one request take less.
_GAP: Final = timedelta(seconds=30)


class Drawn(Struct, frozen=True, kw_only=True):
    """One entry. ``after``: the time since the one before, in words, where it is worth a line."""

    number: int
    entry: Entry
    lane: Lane
    svg: Markup
    says: str
    detail: str
    wrong: bool


class Part(Struct, frozen=True, kw_only=True):
    """Entries that stand together: one, or several that are folded. ``gap``: how much time passed before it."""

    entries: Sequence[Drawn]
    folded: bool
    summary: str
    gap: str


def parts_of(timeline: Sequence[Entry]) -> list[Part]:
    """Every entry, in its order."""
    drawn = [_drawn(number, entry) for number, entry in enumerate(timeline, 1)]
    return list(_parts(drawn))


def _parts(drawn: Sequence[Drawn]) -> Iterator[Part]:
    last: datetime | None = None
    for folded, run in groupby(drawn, key=lambda each: _is_low(each.entry)):
        together = list(run)
        for some in [together] if folded else [[each] for each in together]:
            gap = _gap(last, some[0].entry.at)
            last = some[-1].entry.at or last
            yield Part(entries=some, folded=folded, summary=_summary(some) if folded else "", gap=gap)


def _is_low(entry: Entry) -> bool:
    return entry.kind in _FOLDED or (entry.kind in ("try", "send") and entry.what in _ORDINARY)


def _summary(entries: Sequence[Drawn]) -> str:
    names = {"transfer": "posting", "message": "message", "delivery": "delivery", "answer": "recorded answer"}
    counts = Counter(names.get(each.entry.kind, each.entry.kind) for each in entries)
    return ", ".join(f"{count} {name if count == 1 else _plural(name)}" for name, count in counts.items())


def _plural(name: str) -> str:
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _gap(before: datetime | None, after: datetime | None) -> str:
    if before is None or after is None or after - before < _GAP:
        return ""
    return duration(after - before)


def _drawn(number: int, entry: Entry) -> Drawn:
    lane = _LANE[entry.kind]
    if entry.kind in ("step", "call") and entry.cause == "operator":
        lane = "operator"
    wrong = entry.kind in ("rejection", "case") or (entry.kind == "call" and entry.what == "unknown")
    return Drawn(
        number=number, entry=entry, lane=lane, svg=_lanes(lane, wrong=wrong), says=_says(entry), detail=_detail(entry),
        wrong=wrong,
    )  # fmt: skip


def _lanes(lane: Lane, *, wrong: bool) -> Markup:
    lines = Markup("").join(
        Markup('<line x1="{0}" y1="0" x2="{0}" y2="100%"/>').format(8 + 16 * number) for number in range(len(LANES))
    )
    x = 8 + 16 * LANES.index(lane)
    dot = Markup('<circle class="dot {}{}" cx="{}" cy="14" r="5"/>').format(lane, " wrong" if wrong else "", x)
    return Markup('<svg class="lanes" aria-hidden="true">{}{}</svg>').format(lines, dot)


def _says(entry: Entry) -> str:
    what = bounded(spoken(entry.what), 120)
    match entry.kind:
        case "request":
            return f"Asked for {bounded(entry.what, 120)}"
        case "answer":
            return f"Answer {entry.status or ''} recorded"
        case "replay":
            return f"Request repeated {plural(entry.count or 1, 'time')}: {what}"
        case "call":
            verdict = f": {spoken(entry.verdict)}" if entry.verdict and entry.verdict != entry.what else ""
            return f"{spoken(entry.subject or 'call').capitalize()} {what}{verdict}"
        case "step":
            moved = f"{spoken(entry.from_state or '')} → {spoken(entry.to_state or '')}"
            return f"{spoken(entry.subject or '').capitalize()} {moved}"
        case "rejection":
            return f"Refused: {what} of {spoken(entry.subject or '')}, which was {spoken(entry.from_state or '')}"
        case "arrival":
            return f"Event {bounded(entry.detail, 80)} arrived ({what})"
        case "try":
            return f"Event tried: {what}"
        case "transfer":
            amount = money(entry.amount or 0, entry.currency or "")
            return f"Posted {amount}: {entry.debit} to {entry.credit}"
        case "message":
            return f"Message {what}"
        case "delivery":
            return f"Message {bounded(entry.detail, 80)}: {what}"
        case "send":
            return f"Message sent: {what}"
        case "act":
            return f"Operator: {what}"
        case "case":
            return f"Case {entry.state}: {what}"
        case "evidence":
            amount = money(entry.amount or 0, entry.currency or "")
            return f"Settlement row of a {spoken(entry.subject or '')}, {amount}: {what}"
        case _:
            assert_never(entry.kind)


def _detail(entry: Entry) -> str:
    parts = [
        f"event {entry.what}" if entry.kind == "step" else None,
        money(entry.amount, entry.currency) if entry.kind == "call" and entry.amount and entry.currency else None,
        f"key {bounded(entry.idempotency_key, 80)}" if entry.idempotency_key and entry.kind == "request" else None,
        f"status {entry.status}" if entry.status and entry.kind == "send" else None,
        f"{entry.duration_ms} ms" if entry.duration_ms is not None else None,
        f"{entry.count} times" if entry.count and entry.kind not in ("replay",) else None,
        f"by {bounded(entry.actor, 80)}" if entry.actor else None,
        f"because of {spoken(entry.cause)}" if entry.cause else None,
        f"owner {bounded(entry.owner, 80)}" if entry.owner else None,
        bounded(entry.reason),
        bounded(entry.detail) if entry.kind not in ("arrival", "delivery") else None,
        bounded(entry.reference, 80) if entry.reference else None,
    ]
    return " · ".join(part for part in parts if part)
