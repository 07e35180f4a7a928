"""What a provider sent, byte for byte, opened for a person who may read it. Card numbers are masked even then."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.flows.webhooks.inbound.kept_bytes import NotReadable, opened_arrival
from tallystick.kit.card_mask import mask_cards
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import EventName
from tallystick.record.sealing import Sealer

#: Headers that let whoever has them in: they prove nothing about an event.
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


class ArrivedBytes(Struct, frozen=True, kw_only=True):
    """One arrival of an event. ``text``: headers, an empty line, the body, as they came; None where it cannot be
    opened, and ``why``. Bytes that are no UTF-8 are written as escapes."""

    delivery_id: str
    received_at: datetime
    result: str
    text: str | None
    why: str = ""


async def arrived_bytes(inbox: Inbox, sealer: Sealer, name: EventName, most: int) -> tuple[list[ArrivedBytes], int]:
    """The first ``most`` arrivals of an event, and how many more there are."""
    arrivals = await inbox.deliveries(name)
    opened = []
    for each in arrivals[:most]:
        text, why = await _text(inbox, sealer, name, each.delivery_id)
        opened.append(
            ArrivedBytes(
                delivery_id=each.delivery_id, received_at=each.received_at, result=each.result, text=text, why=why
            )
        )
    return opened, len(arrivals) - len(opened)


async def _text(inbox: Inbox, sealer: Sealer, name: EventName, delivery_id: str) -> tuple[str | None, str]:
    try:
        headers, body = await opened_arrival(inbox, sealer, name, delivery_id)
    except NotReadable as error:
        return None, str(error)
    head = "".join(
        f"{header}: {'not shown' if header.lower() in _SECRET_HEADERS else value}\n"
        for header, value in headers.items()
    )
    return mask_cards(f"{head}\n{body.decode(errors='backslashreplace')}"), ""
