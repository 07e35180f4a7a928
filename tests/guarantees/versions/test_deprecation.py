"""A deprecated version or operation says so in every answer, and who still uses an older version is counted."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest
from msgspec.structs import replace

from tallystick.access.api_key import parse_key
from tallystick.access.key_store import create_key, revoke_key
from tallystick.domain.api_versions import VERSIONS, ApiVersion, Deprecation, Versions
from tallystick.domain.measures import OLDER_VERSIONS
from tallystick.flows.version_use import VersionUse
from tallystick.flows.webhooks.outbound.endpoints import FAILING
from tallystick.interfaces.api import app, openapi
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.interfaces.api.versions import headers_of
from tallystick.kit.clock import Clock
from tallystick.oversight.numbers import OLDER_PINS, NumberReader, shown
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.hourly_counts import KEEP_HOURS
from tallystick.record.postgres.version_use import VersionUseCounts
from tests.support.api import inside
from tests.support.commands import Ran, run_here
from tests.support.database import Database, NewDatabase
from tests.support.endpoints import PATH
from tests.support.endpoints import SETTINGS as ENDPOINT_SETTINGS
from tests.support.runtime import SETTINGS, BookedProvider
from tests.support.second_version import NEW, OLD, published

AGED = Deprecation(since=date(2026, 12, 1), sunset=date(2027, 12, 1))


def test_the_headers_are_those_of_the_standards() -> None:
    """RFC 9745: a structured date; RFC 8594: an HTTP date. Of two the earlier one counts."""
    plain = ApiVersion(date="2026-11-26", changed="")
    aged = ApiVersion(date="2026-11-26", changed="", deprecation=AGED)
    assert headers_of(plain, None) == ((b"tallystick-version", b"2026-11-26"),)
    expected = (
        (b"tallystick-version", b"2026-11-26"),
        (b"deprecation", b"@1796083200"),
        (b"sunset", b"Wed, 01 Dec 2027 00:00:00 GMT"),
    )
    assert headers_of(aged, None) == headers_of(plain, AGED) == expected
    sooner = Deprecation(since=date(2026, 11, 30), sunset=date(2028, 1, 1))
    assert headers_of(aged, sooner)[1:] == ((b"deprecation", b"@1795996800"), expected[2])
    assert headers_of(plain, Deprecation(since=date(2026, 12, 1))) == expected[:2]
    with pytest.raises(ValueError, match="sunset"):
        Deprecation(since=date(2026, 12, 1), sunset=date(2026, 11, 30))


def test_versions_are_in_order() -> None:
    for dates in (("2026-11-26", "2026-11-26"), ("2027-01-01", "2026-11-26"), ("2026-11-26", "20270101")):
        with pytest.raises(ValueError, match=r"versions|isoformat"):
            Versions([ApiVersion(date=each, changed="") for each in dates])


async def test_answers_say_what_is_deprecated(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version in all of its answers, refusals too; an operation in every version."""
    rows = [replace(each, deprecation=AGED) if each.name == "listPayments" else each for each in ENDPOINTS]
    for module in (app, openapi):
        monkeypatch.setattr(module, "ENDPOINTS", rows)
    aged = ApiVersion(date=NEW, changed="", deprecation=AGED)
    with VERSIONS.also(aged):
        async with inside(database, fresh_merchant, BookedProvider()) as inner:

            async def says(path: str, version: str) -> bool:
                answer = await inner.client.get(path, headers={"Tallystick-Version": version})
                said = answer.headers.get("deprecation"), answer.headers.get("sunset")
                assert said in (("@1796083200", "Wed, 01 Dec 2027 00:00:00 GMT"), (None, None))
                return said[0] is not None

            assert await says("/v1/payments/pay_none", NEW) and not await says("/v1/payments/pay_none", OLD)
            assert await says("/v1/payments?unknown=1", NEW) and await says("/v1/payments?unknown=1", OLD)
            document = (await inner.client.get("/openapi.json")).json()
    assert document["paths"]["/v1/payments"]["get"]["deprecated"] is True
    assert "deprecated" not in document["paths"]["/v1/payments"]["post"]


async def counted(database: Database, merchant_id: str) -> dict[tuple[str, str], int]:
    """Requests by (key, version), of all hours."""
    sums: dict[tuple[str, str], int] = {}
    async with await open_pool(database.app_url, SETTINGS) as pool:
        for each in await VersionUseCounts(pool, Clock()).of_last(KEEP_HOURS):
            if each.merchant_id == merchant_id:
                sums[each.key_id, each.version] = sums.get((each.key_id, each.version), 0) + each.count
    return sums


async def test_requests_in_older_versions_are_counted_by_key(database: Database, fresh_merchant: str) -> None:
    """Pinned or named, answered or refused; those of the newest version are not."""
    old, before = await create_key(database.app_url, fresh_merchant), dict(OLDER_VERSIONS)
    with published():
        new = await create_key(database.app_url, fresh_merchant)
        async with inside(database, fresh_merchant, BookedProvider()) as inner:
            for key, version, times in ((old, None, 3), (new, None, 2), (new, OLD, 1), (old, NEW, 1)):
                headers = {"Authorization": f"Bearer {key}"} | ({"Tallystick-Version": version} if version else {})
                for number in range(times):
                    path = "/v1/payments" if number else "/v1/payments/pay_none"
                    await inner.client.get(path, headers=headers)
    ids = [found.key_id for text in (old, new) if (found := parse_key(text)) is not None]
    assert await counted(database, fresh_merchant) == {(ids[0], OLD): 3, (ids[1], OLD): 1}
    assert OLDER_VERSIONS[OLD,] == before.get((OLD,), 0) + 4, "the number for a scrape"
    assert (NEW,) not in OLDER_VERSIONS


async def test_pins_to_older_versions_are_a_number(new_database: NewDatabase, fresh_merchant: str) -> None:
    """Of keys and endpoints in use, without names; nothing where there is one version alone."""
    database = new_database()
    before = [await create_key(database.app_url, fresh_merchant) for _ in range(2)]

    async def pinned() -> dict[tuple[str, ...], float]:
        async with await open_pool(database.app_url, SETTINGS) as pool:
            numbers = await NumberReader(pool, Clock(), SETTINGS, [FAILING]).read()
        shown(numbers, ())
        return dict(OLDER_PINS)

    assert await pinned() == {}
    with published():
        async with inside(database, fresh_merchant, BookedProvider(), **ENDPOINT_SETTINGS) as inner:
            for path in ("one", "two", "three"):
                pin = {} if path == "one" else {"api_version": OLD}
                made = await inner.client.post(PATH, json={"url": f"http://127.0.0.1:9/{path}", **pin})
            await inner.client.delete(f"{PATH}/{made.json()['endpoint']['id']}")
        assert await pinned() == {("key", OLD): 2, ("webhook endpoint", OLD): 1}
        key = parse_key(before[0])
        assert key is not None
        await revoke_key(database.app_url, fresh_merchant, key.key_id)
        assert await pinned() == {("key", OLD): 1, ("webhook endpoint", OLD): 1}


async def test_counts_of_many_processes_add_up(database: Database, fresh_merchant: str) -> None:
    async with await open_pool(database.app_url, SETTINGS) as pool:
        for _ in range(2):
            use = VersionUse(VersionUseCounts(pool, Clock()), Clock(), write_every_ms=3_600_000)
            for _ in range(2):
                use.count(fresh_merchant, "key", OLD)
                await use.write()
            await use.stop()
    assert await counted(database, fresh_merchant) == {("key", OLD): 4}


def test_the_command_lists_versions_pins_and_use(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> Ran:
        return run_here(monkeypatch, capsys, *words, database_url=database.app_url)

    key = parse_key(run("keys", "create", "--merchant", fresh_merchant).out.strip())
    assert key is not None
    with published():
        newer = parse_key(run("keys", "create", "--merchant", fresh_merchant).out.strip())
        assert newer is not None
        [before, after] = msgspec.json.decode(run("keys", "list", "--merchant", fresh_merchant, "--json").out)
        assert {before["api_version"], after["api_version"]} == {OLD, NEW}
        report = msgspec.json.decode(run("versions", "--json").out)
        assert [each["date"] for each in report["versions"]] == [OLD, NEW]
        ours = [(each["kind"], each["id"]) for each in report["pinned"] if each["merchant_id"] == fresh_merchant]
        assert ours == [("key", key.key_id)]
        assert OLD in run("versions").out
        pinned = run("keys", "pin", newer.key_id, "--merchant", fresh_merchant, "--version", OLD)
        assert pinned.code == 0
        again = parse_key(run("keys", "rotate", newer.key_id, "--merchant", fresh_merchant).out.strip())
        assert again is not None
        rows = msgspec.json.decode(run("keys", "list", "--merchant", fresh_merchant, "--json").out)
        assert {row["key_id"]: row["api_version"] for row in rows}[again.key_id] == OLD, "a rotated key keeps its pin"
        for words in (("pin", again.key_id), ("create",)):
            refused = run("keys", *words, "--merchant", fresh_merchant, "--version", "2001-01-01")
            assert refused.code == 2 and OLD in refused.err and NEW in refused.err
