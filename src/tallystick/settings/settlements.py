"""Settings of settlement files: how large they may be, how each account's are read, and a folder to watch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import time
from typing import Annotated, ClassVar, Final
from zoneinfo import ZoneInfo

from msgspec import Meta

from tallystick.domain.business_days import CALENDARS, DueRule
from tallystick.settings.fields import comma_list, ms, text, variable
from tallystick.settings.sections import Section

#: As in ``stripe/main=target-v1+2@17:00 Europe/Berlin``; the time and its zone may be left out.
_DUE: Final = re.compile(r"([\w.-]+)/([\w.-]+)=([\w-]+)\+(\d{1,2})(?:@([01]\d|2[0-3]):([0-5]\d)(?: ([\w/+-]+))?)?")


def _bytes(reason: str) -> Meta:
    return Meta(description=reason, ge=1024, le=1 << 40, extra={"unit": "bytes"})


@dataclass(frozen=True, kw_only=True, repr=False)
class SettlementSettings(Section):
    """Settlement files and bank statements."""

    title: ClassVar[str] = "Settlement files"

    settlement_accounts: Annotated[
        str | None, text("A TOML file that says how the files of each account are read: zone, encoding, mapping.")
    ] = None
    settlement_folder: Annotated[
        str | None, text("A folder that workers watch, with files in PROVIDER/ACCOUNT/; without it none is watched.")
    ] = None
    settlement_rest_ms: Annotated[
        int, ms("A file in the watched folder is taken when its size has not changed for so long.", ge=100)
    ] = 10_000
    settlement_interval_ms: Annotated[int, ms("Pause between two looks into the watched folder.", ge=100)] = 5_000
    settlement_max_bytes: Annotated[int, _bytes("A larger file is refused: a million rows have some 300 MB.")] = 1 << 29
    settlement_max_unpacked_bytes: Annotated[
        int, _bytes("A packed file that unpacks to more is refused while it unpacks.")
    ] = 1 << 31
    settlement_lease_ms: Annotated[
        int, ms("An import that died is taken up by another process after this; a slow one renews it.", ge=1_000)
    ] = 60_000
    settlement_due: Annotated[
        str | None,
        text(
            "When each account's money is due: calendar, business days, and the cut-off, as in"
            " stripe/main=target-v1+2@17:00 Europe/Berlin, between commas. Without one nothing is overdue."
        ),
    ] = None

    def faults(self) -> Iterator[str]:
        try:
            due_rules(self.settlement_due)
        except ValueError as error:
            yield f"{variable('settlement_due')}: {error}"


def due_rules(given: str | None) -> dict[tuple[str, str], DueRule]:
    """(provider, account) -> when its money is due. Raises ValueError, which repeats nothing that was given."""
    rules: dict[tuple[str, str], DueRule] = {}
    for part in comma_list(given or ""):
        found = _DUE.fullmatch(part)
        if found is None or found[3] not in CALENDARS:
            calendars = ", ".join(CALENDARS)
            raise ValueError(f"expected PROVIDER/ACCOUNT=CALENDAR+DAYS@HH:MM ZONE; calendars are {calendars}")
        name, zone = (found[1], found[2]), found[7] or "UTC"
        if name in rules:
            raise ValueError("an account has two")
        try:
            ZoneInfo(zone)
        except (ValueError, OSError, KeyError):
            raise ValueError("there is no such zone") from None
        cut_off = time.max if found[5] is None else time(int(found[5]), int(found[6]))
        rules[name] = DueRule(calendar=found[3], days=int(found[4]), cut_off=cut_off, zone=zone)
    return rules
