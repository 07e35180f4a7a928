"""News of settlement files goes to the inbox first, as a provider's notices do: there it is decided by the same rules
as a webhook, and what comes of it is what the rows are compared with."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from tallystick.domain.settlement_news import News
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import enveloped, sealed_part
from tallystick.flows.webhooks.inbound.intake import FAIRNESS_SPACING_MS, Arrival, arrival_row
from tallystick.providers.receiver import Notification
from tallystick.record.postgres.arrivals import ArrivalRow
from tallystick.record.postgres.settlement_news import NewsRows
from tallystick.record.sealing import delivery_row

#: Movements that one comparison gathers, and one transaction tells of: some megabytes. What is beyond is told of by the
#: next one.
NEWS_AT_ONCE: Final = 10_000

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


async def tell(
    runtime: Runtime, rows: NewsRows, provider: str, account: str, file_id: str, news: Sequence[News]
) -> int:
    """Tell the inbox of them, in the transaction of ``rows``. Returns how many movements it had not heard of. Raises
    what sealing raises."""
    news = await _told_anew(rows, provider, account, news)
    arrivals = _arrivals(runtime, (provider, account), file_id, news)
    told = [((file_id, at), (provider, account, each.name)) for each in news for at in each.positions]
    return await rows.tell(told, arrivals, runtime.clock.now(), runtime.clock.shift_ms)


async def _told_anew(rows: NewsRows, provider: str, account: str, news: Sequence[News]) -> Sequence[News]:
    """What only withdrawn files told of is told under another name: the event of the first name says what they said,
    and is decided as nothing."""
    while back := await rows.taken_back([(provider, account, each.name) for each in news]):
        names = {name for _, _, name in back}
        news = [replace(each, telling=each.telling + 1) if each.name in names else each for each in news]
    return news


def _arrivals(runtime: Runtime, account: tuple[str, str], file_id: str, news: Sequence[News]) -> list[ArrivalRow]:
    """Each with its place in the fair order: news of one merchant does not stand before the events of others."""
    places_ms: dict[str, int] = {}
    now_ms, found = time.time_ns() // 1_000_000, []
    for each in news:
        place_ms = places_ms.get(each.merchant_id, now_ms - FAIRNESS_SPACING_MS) + FAIRNESS_SPACING_MS
        places_ms[each.merchant_id] = place_ms
        found.append(arrival_row(_arrival(runtime, account, file_id, each), place_ms))
    return found


def _arrival(runtime: Runtime, account: tuple[str, str], file_id: str, news: News) -> Arrival:
    """The bytes that are kept say which row it was; its digest is of what every file says of the movement."""
    body = _ENCODER.encode({"file": file_id, "row": news.positions[0], "line": news.line, "notice": news.notice})
    notification = Notification(
        provider_event_id=news.name,
        type=news.type,
        occurred_at=news.occurred_at,
        charge_reference=news.charge,
        mark="ours",
        merchant_id=news.merchant_id,
        payment_id=news.payment_id,
        notice=news.notice,
        digest=hashlib.sha256(_ENCODER.encode(news.notice)).digest(),
    )
    at = runtime.clock.now()
    envelope = enveloped(account, notification, body, {}, at, runtime.words)
    name = (*account, envelope.provider_event_id, envelope.delivery_id)
    return Arrival(envelope, at, runtime.sealer.seal(sealed_part(body, {}), delivery_row(*name)))
