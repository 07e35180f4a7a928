"""What a list has to show before it says that a charge is absent: all of the right time, to its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.domain.verdicts import Approved, NotFound, Unknown, Verdict
from tallystick.providers.heard import heard_answers
from tallystick.providers.stripe import lists
from tallystick.providers.stripe.calls import StripeProvider
from tests.support.database import DEEP
from tests.support.stripe.calls import authorize, connector, follow_up
from tests.support.stripe.fake_stripe import FakeStripe, fake_stripe


@pytest.fixture
async def bank() -> AsyncIterator[FakeStripe]:
    async with fake_stripe(deduplicates=False) as fake:
        yield fake


@pytest.fixture
async def provider(bank: FakeStripe) -> AsyncIterator[StripeProvider]:
    async with connector(bank.url) as made:
        yield made


def window(opened_s: int, latest_s: int) -> dict[str, Any]:
    """Seconds from now."""
    now = datetime.now(UTC)
    return {"earliest": now + timedelta(seconds=opened_s), "latest": now + timedelta(seconds=latest_s)}


async def test_both_sides_are_bounded(bank: FakeStripe, provider: StripeProvider) -> None:
    times: dict[str, Any] = {
        "earliest": datetime(2030, 1, 1, 12, 0, 0, 900_000, UTC),
        "latest": datetime(2030, 1, 1, 12, 5, 0, 100_000, UTC),
    }
    await provider.fetch(authorize(**times))
    [asked] = bank.queries
    # 120 s before 12:00:00.9, rounded down: 11:58:00; and 120 s after 12:05:00.1, rounded up: 12:07:01.
    assert (asked["created[gte]"], asked["created[lte]"]) == ("1893499080", "1893499621")


@pytest.mark.parametrize(
    ("opened_s", "latest_s", "found"), [(-10, 60, Approved), (200, 300, NotFound), (-400, -200, NotFound)]
)
async def test_an_object_of_another_time_is_not_the_attempts(
    provider: StripeProvider, opened_s: int, latest_s: int, found: type[Verdict]
) -> None:
    call = authorize(**window(opened_s, latest_s))
    await provider.authorize(call)
    assert isinstance(await provider.fetch(call), found)


async def test_a_list_is_not_kept_as_an_answer_about_the_attempt(provider: StripeProvider) -> None:
    """Other payments are in it, which may be other merchants'. What names the attempt's own object is."""
    call = authorize()
    made = await provider.authorize(call)
    with heard_answers() as heard:
        assert isinstance(await provider.fetch(call), Approved)
    assert heard.answer("lookup") is None
    with heard_answers() as heard:
        assert isinstance(await provider.fetch(replace(call, reference=made.reference)), Approved)
    assert heard.answer("lookup") is not None


@pytest.mark.parametrize("operation", ["authorize", "refund"])
@pytest.mark.parametrize("spoiled", ["empty_after_more", "more_after_empty", "cut_off", "no_has_more", "no_data"])
async def test_a_list_that_was_not_seen_to_its_end_proves_nothing(
    bank: FakeStripe, provider: StripeProvider, monkeypatch: pytest.MonkeyPatch, operation: str, spoiled: str
) -> None:
    monkeypatch.setattr(lists, "PAGE", 2)
    first = await provider.authorize(authorize())
    for _ in range(2):
        await provider.authorize(authorize())
    for _ in range(3):
        await provider.refund(follow_up("refund", first.reference, amount=100))

    def script(start: int, page: dict[str, Any]) -> bytes | None:
        whole = json.dumps(page).encode()
        if start == 0:
            if spoiled == "more_after_empty":
                return json.dumps(page | {"data": [], "has_more": True}).encode()
            return None
        match spoiled:
            case "empty_after_more":
                return json.dumps(page | {"data": [], "has_more": False}).encode()
            case "cut_off":
                return whole[: len(whole) // 2]
            case "no_has_more":
                return json.dumps({"object": "list", "data": page["data"]}).encode()
            case "no_data":
                return json.dumps({"object": "list", "has_more": False}).encode()
        return None

    missing = authorize() if operation == "authorize" else follow_up("refund", first.reference)
    assert isinstance(await provider.fetch(missing), NotFound), "as long as the list is whole"
    bank.lists = script
    assert isinstance(await provider.fetch(missing), Unknown)


@pytest.mark.exhaustive
async def test_past_ten_thousand_objects_nothing_is_absent(
    bank: FakeStripe, provider: StripeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three seconds of a surge. Without depth a tenth of it, and a tenth of the bound."""
    assert lists.PAGES_LIMIT * lists.PAGE == 10_000
    monkeypatch.setattr(lists, "PAGES_LIMIT", lists.PAGES_LIMIT // (1 if DEEP else 10))
    await provider.authorize(authorize())
    [one] = bank.intents
    bank.intents = [one | {"id": f"pi_{number}"} for number in range(lists.PAGES_LIMIT * lists.PAGE)]
    assert isinstance(await provider.fetch(authorize()), NotFound)
    bank.intents.append(one | {"id": "pi_last"})
    assert isinstance(await provider.fetch(authorize()), Unknown)
