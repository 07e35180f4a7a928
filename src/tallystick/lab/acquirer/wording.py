"""How pages and commands say amounts, times and names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import iso4217

from tallystick.lab.acquirer.possible import Arrival

#: Currency -> decimals, where this acquirer counts otherwise than ISO 4217, as real ones do here and there.
EXPONENTS: Final = {"IDR": 0, "CVE": 0}

#: What stands in a page instead of what looks like a card number.
MASKED: Final = "[digits left out]"

#: An id of ours or the platform's: hex with a letter in it, alone or after a prefix such as ``pay_``.
_IDENTIFIER: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[a-f])[0-9a-f]{20,}(?![0-9A-Za-z])", re.ASCII)

#: 13 digits or more, also in groups: nothing else that is shown here has so many.
_DIGITS: Final = re.compile(r"\d(?:[\s._/-]{0,3}\d){12,}")


def money(amount: int, currency: str) -> str:
    """An amount in minor units as people write it: ``12.50 EUR``."""
    try:
        exponent = EXPONENTS.get(currency, iso4217.Currency(currency).exponent)
    except ValueError:
        exponent = None
    if exponent is None:
        return f"{amount:,} minor units of {named(currency)}"
    return f"{Decimal(amount).scaleb(-exponent):,.{exponent}f} {currency}"


def duration(ms: float) -> str:
    """A span: ``0 s``, ``0.3 s``, ``5 s``, ``2 min``, ``8 h``."""
    seconds = ms / 1000
    for unit_s, unit in ((3_600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:g} {unit}"
    return f"{seconds:g} s"


def clock_time(at: float | str) -> str:
    """A time of the books, seconds since 1970 or RFC 3339, to the second: ``14:03:09 UTC``."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
    return f"{moment:%H:%M:%S} UTC"


def named(text: str) -> str:
    """A name that a caller chose, fit to be shown: without what looks like a card number."""
    kept = [_DIGITS.sub(MASKED, part) for part in _IDENTIFIER.split(text)]
    ids = _IDENTIFIER.findall(text)
    return "".join(part + own for part, own in zip(kept, [*ids, ""], strict=True))


def arrival(arrives: Sequence[Arrival], webhooks: str) -> str:
    """What comes of a call by webhook, and when. ``webhooks``: sent | paused | unsent."""
    if not arrives:
        return ""
    if webhooks == "unsent":
        return f"{_events(arrives)}: written in the acquirer's books, and sent nowhere, because it has no webhook URL"
    if all(each.after_ms is None for each in arrives):
        return f"{_events(arrives)}: never sent, as the payment's script says"
    said = ", ".join(f"{each.event} {_after(each.after_ms or 0)}" for each in arrives)
    return f"{said}; webhooks are paused, and come once they are resumed" if webhooks == "paused" else said


def _events(arrives: Sequence[Arrival]) -> str:
    return ", ".join(each.event for each in arrives)


def _after(ms: int) -> str:
    return f"after {duration(ms)}" if ms else "at once"
