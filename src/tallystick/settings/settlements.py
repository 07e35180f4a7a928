"""Settings of settlement files: how large they may be, how each account's are read, and a folder to watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from tallystick.settings.fields import ms, text
from tallystick.settings.sections import Section


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
