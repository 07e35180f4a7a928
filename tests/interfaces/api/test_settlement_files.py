"""Settlement files over HTTP: sent as they are, refused cleanly, shown in the published form, withdrawn."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import jsonschema_rs
import pytest

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.api_keys import declaration
from tallystick.domain.settlement_views import row_schema
from tallystick.flows.reconciliation.reports import compare_report
from tallystick.kit.ids import new_id
from tests.support.api import Inside, inside
from tests.support.database import Database, NewDatabase
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_files import golden_file
from tests.support.settlement_imports import stripe_rows

PATH = "/v1/settlement-files"


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Of each test alone: files are the platform's."""
    return new_database()


@asynccontextmanager
async def for_an_operator(database: Database) -> AsyncIterator[Inside]:
    async with inside(database, "shop", BookedProvider(), settlement_max_bytes=1 << 20) as api:
        key = await create_key(database.app_url, OPERATORS, operator=True)
        api.client.headers["Authorization"] = f"Bearer {key}"
        yield api


async def sent(api: Inside, content: bytes, **query: str) -> httpx.Response:
    return await api.client.post(PATH, content=content, params=query)


async def test_a_file_is_imported_shown_and_withdrawn(database: Database) -> None:
    async with for_an_operator(database) as api:
        done = (await sent(api, golden_file("simulator").read_bytes(), name="day.csv")).json()
        file = done["settlement_file"]
        assert (file["state"], file["rows"], file["name"], done["already_imported"]) == (
            "imported",
            6,
            "day.csv",
            False,
        )
        assert [(each["batch"], each["state"], each["difference"]) for each in done["batches"]] == [
            ("b_1", "balanced", 0)
        ]
        again = (await sent(api, golden_file("simulator").read_bytes(), name="other.csv")).json()
        assert (again["already_imported"], again["settlement_file"]["id"]) == (True, file["id"])
        [listed] = (await api.client.get(PATH, params={"provider": "simulator"})).json()["data"]
        shown = (await api.client.get(f"{PATH}/{file['id']}")).json()
        assert listed == shown["settlement_file"]
        payout = {"state": "expected", "sent": 965, "arrived": 0, "entries": 0, "due": None}
        assert [each["at_bank"] for each in shown["batches"]] == [payout]
        assert shown["report"] is None, "its rows are posted"
        assert (await api.client.get(PATH, params={"state": "conflict"})).json()["data"] == []
        headers = {"Idempotency-Key": new_id("req")}
        act = await api.client.post(
            f"{PATH}/{file['id']}/withdraw", json={"reason": "a wrong account"}, headers=headers
        )
        assert act.json()["act"] == "settlement_file.withdraw"
        headers = {"Idempotency-Key": new_id("req")}
        twice = await api.client.post(f"{PATH}/{file['id']}/withdraw", json={"reason": "again"}, headers=headers)
        assert (twice.status_code, twice.json()["code"]) == (409, "settlement_file_needed")


async def test_rows_are_in_the_published_form_and_come_in_pages(database: Database) -> None:
    async with for_an_operator(database) as api:
        file = (await sent(api, golden_file("simulator").read_bytes())).json()["settlement_file"]
        validator, rows, after = jsonschema_rs.validator_for(row_schema()), [], 0
        while True:
            page = (await api.client.get(f"{PATH}/{file['id']}/rows", params={"after": after, "limit": 4})).json()
            rows += page["data"]
            if not page["has_more"]:
                break
            after = rows[-1]["position"]
        assert [each["position"] for each in rows] == [1, 2, 3, 4, 5, 6]
        assert all(validator.is_valid(each) for each in rows)


async def test_a_report_says_what_its_rows_came_to(database: Database) -> None:
    """Its payments are not in this record."""
    async with for_an_operator(database) as api, runtime_of(database.app_url, BookedProvider()) as runtime:
        content = golden_file("adyen_accounting").read_bytes()
        file = (await sent(api, content, zone="Europe/Amsterdam")).json()["settlement_file"]
        await compare_report(runtime, file["id"], "service:reconciliation")
        report = (await api.client.get(f"{PATH}/{file['id']}")).json()["report"]
        assert report["counts"] == [{"status": "unexplained", "reason": "not_in_record", "rows": 2}]
        [first, _] = report["exceptions"]
        assert (first["row_reference"], first["payment_id"], first["compared"]["fee"]) == ("MOD1", None, [12, None])


async def test_what_cannot_be_imported_is_a_problem(database: Database) -> None:
    async with for_an_operator(database) as api:
        refused = await sent(api, b"Dear customer,\n")
        assert (refused.status_code, refused.json()["code"]) == (422, "settlement_file_refused")
        local = await sent(api, golden_file("adyen_settlement_details").read_bytes())
        assert "needs a zone" in local.json()["detail"]
        assert (await sent(api, golden_file("adyen_settlement_details").read_bytes(), zone="Europe/Berlin")).is_success
        assert (await sent(api, b"x" * (1 << 21))).json()["code"] == "body_too_large"
        assert (await sent(api, gzip.compress(stripe_rows(5_000).encode())[:-300])).json()["code"] == (
            "settlement_file_refused"
        )
        assert (await sent(api, b"x", format="excel")).json()["code"] == "validation_failed"
        assert (await sent(api, b"x", name="4111111111111111")).json()["code"] == "card_data_refused"
        assert (await api.client.get(f"{PATH}/{new_id('stl')}")).status_code == 404


async def test_only_operators_with_the_scope_may(database: Database) -> None:
    async with for_an_operator(database) as api:
        merchant = await create_key(database.app_url, "shop")
        reading = await create_key(
            database.app_url, OPERATORS, operator=True, declared=declaration("service", ["settlements:read"])
        )
        for key, codes in ((merchant, ("forbidden", "forbidden")), (reading, ("scope_missing", None))):
            headers = {"Authorization": f"Bearer {key}"}
            posted = await api.client.post(PATH, content=b"x", headers=headers)
            got = await api.client.get(PATH, headers=headers)
            assert (posted.json().get("code"), got.json().get("code")) == codes


async def test_nothing_is_left_on_the_disk(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with for_an_operator(database) as api:
        done = await asyncio.gather(*(sent(api, stripe_rows(50, payout=f"po_{n}").encode()) for n in range(2)))
        assert all(each.is_success for each in done)
        await sent(api, b"Dear customer,\n")
        assert list(tmp_path.iterdir()) == []
