"""How values are shown to people: money, numbers, times, names of states. What others wrote is bounded here; templates
escape it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tallystick.oversight.trace.first_line import money as money

#: What somebody else wrote is shown up to here: one line of a wide screen.
TEXT_CHARS: Final = 300

#: Evidence is shown up to here: some pages of a screen.
EVIDENCE_CHARS: Final = 20_000

_UNITS: Final[Sequence[tuple[int, str]]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))

#: The work that waits, as `tallystick status` names it, in words.
BACKLOG: Final[Mapping[str, str]] = {
    "attempts_to_settle": "attempts that recovery looks at",
    "overdue_deadlines": "deadlines that have passed",
    "attempts_in_doubt": "attempts in doubt",
    "late_money": "payments with late money",
    "unknown_dispute_amounts": "disputes over an unknown amount",
    "events_to_process": "events to process",
    "dead_letters": "dead letters",
    "messages_to_dispatch": "messages to dispatch",
    "queues_to_send": "queues of messages to send",
}


def number(value: float) -> str:
    """``1,247``."""
    return f"{value:,.0f}"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 row``, ``2 rows``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def duration(span: timedelta) -> str:
    """The two largest units: ``3 h 20 min``; ``0 s`` for less than a second."""
    left = max(0, int(span.total_seconds()))
    parts: list[tuple[int, str]] = []
    for seconds, unit in _UNITS:
        count, left = divmod(left, seconds)
        if count or parts:
            parts.append((count, unit))
        if len(parts) == 2:
            break
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or "0 s"


def milliseconds(value: float | None) -> str:
    """``18 ms``, ``2.4 s``; a dash where nothing was counted."""
    if value is None:
        return "-"
    return f"{value / 1_000:.1f} s" if value >= 1_000 else f"{value:.0f} ms"


def at(moment: datetime) -> str:
    """To the second, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def to_milliseconds(moment: datetime) -> str:
    """The time of day, where milliseconds matter."""
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def iso(moment: datetime) -> str:
    """For programs."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def bounded(text: str | None, most: int = TEXT_CHARS) -> str:
    """What others wrote, without control characters and not too long."""
    if text is None:
        return ""
    shown = "".join(char if char.isprintable() else " " for char in text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}…"


def bounded_lines(text: str, most: int = EVIDENCE_CHARS) -> str:
    """The same of several lines."""
    shown = "".join(char if char.isprintable() or char == "\n" else " " for char in text[:most])
    return shown if len(text) <= most else f"{shown}\n… {len(text) - most:,} more characters"


def spoken(name: str) -> str:
    """``requires_action`` -> ``requires action``."""
    return name.replace("_", " ")


def share(part: int, whole: int) -> str:
    """``99.98 %``; never 100 where something lacks."""
    if whole == 0:
        return "-"
    percent = 100 * part / whole
    return "100 %" if part == whole else f"{min(percent, 99.99):.2f} %"


class Words:
    """These functions, for templates; ``now`` is when the page was made."""

    number = staticmethod(number)
    plural = staticmethod(plural)
    milliseconds = staticmethod(milliseconds)
    at = staticmethod(at)
    to_milliseconds = staticmethod(to_milliseconds)
    iso = staticmethod(iso)
    bounded = staticmethod(bounded)
    spoken = staticmethod(spoken)
    share = staticmethod(share)
    money = staticmethod(money)
    duration = staticmethod(duration)
    backlog: Final = BACKLOG

    def __init__(self, now: datetime) -> None:
        self.now = now

    def age(self, moment: datetime | None) -> str:
        """How long ago; a dash where there is no such time."""
        return "-" if moment is None else duration(self.now - moment)

    def totals(self, totals: Sequence[Any]) -> str:
        """``12.00 EUR + 3 JPY``; nothing where rows have no amount."""
        return " + ".join(
            money(each.amount, each.currency)
            for each in totals
            if each.currency is not None and each.amount is not None
        )
