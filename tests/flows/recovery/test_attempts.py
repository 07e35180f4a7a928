"""Parking: one way into the in-doubt list, with one alert by the worker whose change parked the attempt."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tallystick.domain.change import Change
from tallystick.domain.verdicts import Unknown, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover, runtime_of, timed_out


class Silent(BookedProvider):
    """Answers neither calls nor questions."""

    def __init__(self) -> None:
        super().__init__()
        self.before = timed_out

    async def fetch(self, _: ProviderCall) -> Verdict:
        return Unknown(reason="time-out")


class Unasked(BookedProvider):
    """Answers no call, has no lookup, and would execute the same request twice."""

    def __init__(self) -> None:
        super().__init__(forgetful=True)
        self.traits = replace(self.traits, can_fetch=False, lookup_is_consistent=False)
        self.before = timed_out


#: What leads to the in-doubt list: nothing was learned often enough, or there is no safe way to send again.
WAYS = {"bounded recovery ended": Silent, "no safe way to send again": Unasked}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


async def parked_by(runtime: Runtime, payment_id: str) -> list[str]:
    """The causes of the changes that parked the payment's attempts."""
    rows = await runtime.pool.fetch("SELECT cause FROM history WHERE stream_id = $1 AND event = 'parked'", payment_id)
    return [row["cause"] for row in rows]


def alerts(logged: list[MutableMapping[str, Any]], payment_id: str) -> list[str]:
    return [line["event"] for line in logged if line.get("alert") and line.get("payment_id") == payment_id]


async def doubtful(runtime: Runtime, merchant_id: str) -> str:
    """A payment whose outcome the provider did not tell."""
    return str(read(await Client(runtime, merchant_id).create("doubtful"))["id"])


async def test_a_parked_attempt_raises_one_alert(
    database: Database, fresh_merchant: str, way: str, logged: list[MutableMapping[str, Any]]
) -> None:
    async with runtime_of(database.app_url, WAYS[way](), settings=HURRIED) as runtime:
        payment_id = await doubtful(runtime, fresh_merchant)
        await recover(runtime)
        assert await parked_by(runtime, payment_id) == [f"recovery: {way}"]
    assert alerts(logged, payment_id) == ["attempt is in doubt"]


async def test_a_worker_that_lost_the_race_to_park_raises_none(
    database: Database,
    fresh_merchant: str,
    way: str,
    logged: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between its decision and its commit another worker parks the attempt. The alert is that one's to raise."""
    async with runtime_of(database.app_url, WAYS[way](), settings=HURRIED) as runtime:
        payment_id = await doubtful(runtime, fresh_merchant)
        commit = runtime.journal.commit

        async def commit_second(change: Change) -> object:
            if [step.event for step in change.transitions] == ["parked"]:
                steps = tuple(replace(step, cause="the other worker") for step in change.transitions)
                await commit(replace(change, change_id=new_id("chg"), transitions=steps))
            return await commit(change)

        monkeypatch.setattr(runtime.journal, "commit", commit_second)
        await recover(runtime)
        assert await parked_by(runtime, payment_id) == ["the other worker"]
    assert alerts(logged, payment_id) == []
