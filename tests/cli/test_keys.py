"""API keys: printed once, stored as hashes, revoked for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
import msgspec
import pytest

from tallystick.access.api_key import matches, parse_key
from tallystick.access.operator import operator_of_shell
from tallystick.domain.api_versions import VERSIONS
from tests.support.commands import Ran, run_here
from tests.support.database import Database


@pytest.fixture
def keys(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """``tallystick keys …`` on the test database."""

    def run(*arguments: str, **settings: str) -> Ran:
        return run_here(monkeypatch, capsys, "keys", *arguments, database_url=database.app_url, **settings)

    return run


def _row(database: Database, table: str, merchant: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database.owner_url)
        try:
            return list(await connection.fetch(f"SELECT * FROM {table} WHERE merchant_id = $1", merchant))
        finally:
            await connection.close()

    return asyncio.run(fetch())


def test_create_prints_the_key_alone_and_stores_its_hash(
    keys: Callable[..., Ran], database: Database, fresh_merchant: str
) -> None:
    made = keys("create", "--merchant", fresh_merchant, "--default-provider", "simulator")
    assert (made.code, made.err) == (0, "")
    key = parse_key(made.out.removesuffix("\n"))
    assert key is not None and key.merchant_id == fresh_merchant
    (row,) = _row(database, "api_key", fresh_merchant)
    assert row["key_id"] == key.key_id and matches(key.secret, row["secret_hash"])
    assert key.secret not in repr(row)
    assert [m["default_provider"] for m in _row(database, "merchant", fresh_merchant)] == ["simulator"]


def test_a_second_key_keeps_the_merchant_as_it_is(
    keys: Callable[..., Ran], database: Database, fresh_merchant: str
) -> None:
    keys("create", "--merchant", fresh_merchant, "--default-provider", "simulator")
    keys("create", "--merchant", fresh_merchant)
    assert [m["default_provider"] for m in _row(database, "merchant", fresh_merchant)] == ["simulator"]
    assert len(_row(database, "api_key", fresh_merchant)) == 2


def test_a_merchant_is_held_to_its_providers(keys: Callable[..., Ran], database: Database, fresh_merchant: str) -> None:
    def stored() -> object:
        return [(m["default_provider"], m["allowed_providers"]) for m in _row(database, "merchant", fresh_merchant)]

    assert keys("create", "--merchant", fresh_merchant).code == 0
    assert stored() == [(None, None)]
    keys("create", "--merchant", fresh_merchant, "--allowed-provider", "stripe", "--allowed-provider", "adyen")
    assert stored() == [(None, ["stripe", "adyen"])]
    keys("create", "--merchant", fresh_merchant, "--default-provider", "adyen")
    assert stored() == [("adyen", ["stripe", "adyen"])], "what is not given is kept"
    ran = keys("create", "--merchant", fresh_merchant, "--default-provider", "simulator")
    assert ran.code == 2 and "default provider" in ran.err and ran.out == ""
    ran = keys("create", "--merchant", fresh_merchant, "--allowed-provider", "stripe")
    assert ran.code == 2 and stored() == [("adyen", ["stripe", "adyen"])]
    assert keys("create", "--merchant", fresh_merchant, "--all-providers").code == 0
    assert stored() == [("adyen", None)]


def test_a_provider_that_does_not_exist_is_refused(keys: Callable[..., Ran], fresh_merchant: str) -> None:
    for option in ("--default-provider", "--allowed-provider"):
        ran = keys("create", "--merchant", fresh_merchant, option, "strpe")
        assert ran.code == 2 and ran.out == "", option


def test_rotate_revokes_the_old_key_and_prints_the_new_one(
    keys: Callable[..., Ran], database: Database, fresh_merchant: str
) -> None:
    old = parse_key(keys("create", "--merchant", fresh_merchant).out.strip())
    assert old is not None
    new = parse_key(keys("rotate", old.key_id, "--merchant", fresh_merchant).out.strip())
    assert new is not None and new.secret != old.secret
    revoked = {row["key_id"]: row["revoked_at"] is not None for row in _row(database, "api_key", fresh_merchant)}
    assert revoked == {old.key_id: True, new.key_id: False}
    again = keys("rotate", old.key_id, "--merchant", fresh_merchant)
    assert again.code == 2 and "no key" in again.err
    assert len(_row(database, "api_key", fresh_merchant)) == 2, "a refused rotation makes no key"


def test_each_act_about_a_key_says_who_did_it(
    keys: Callable[..., Ran], database: Database, fresh_merchant: str
) -> None:
    shell, operators = operator_of_shell().name, keys("create", "--operator").out.strip()
    key = parse_key(keys("create", "--merchant", fresh_merchant).out.strip())
    somebody = parse_key(operators)
    assert key is not None and somebody is not None
    named = ("--merchant", fresh_merchant)
    keys("pin", key.key_id, *named, "--version", VERSIONS.newest.date, operator_key=operators)
    keys("rotate", key.key_id, *named, operator_key=operators)
    [other] = [row["key_id"] for row in _row(database, "api_key", fresh_merchant) if row["key_id"] != key.key_id]
    keys("revoke", other, *named, operator_key="no key")
    acts = sorted(
        (row["key_id"] == other, row["number"], row["act"], row["actor"])
        for row in _row(database, "api_key_act", fresh_merchant)
    )
    owner = f"key:{somebody.key_id}"
    assert acts == [
        (False, 1, "created", shell),
        (False, 2, "pinned", owner),
        (False, 3, "revoked", owner),
        (True, 1, "created", owner),
        (True, 2, "revoked", shell),
    ]


def test_revoke_is_for_good_and_list_shows_it(keys: Callable[..., Ran], fresh_merchant: str) -> None:
    key = parse_key(keys("create", "--merchant", fresh_merchant).out.strip())
    assert key is not None
    revoked = keys("revoke", key.key_id, "--merchant", fresh_merchant)
    assert revoked.code == 0 and f"Key {key.key_id} of merchant {fresh_merchant} is revoked" in revoked.out
    assert keys("revoke", key.key_id, "--merchant", fresh_merchant).code == 2
    (listed,) = msgspec.json.decode(keys("list", "--merchant", fresh_merchant, "--json").out)
    assert listed["key_id"] == key.key_id and listed["revoked_at"] is not None
    assert key.key_id in keys("list", "--merchant", fresh_merchant).out


def test_a_name_that_is_no_merchant_is_refused(keys: Callable[..., Ran]) -> None:
    ran = keys("create", "--merchant", "Not A Merchant")
    assert ran.code == 2 and "merchant id" in ran.err and ran.out == ""


def test_a_key_says_what_it_is_and_a_rotated_one_says_the_same(keys: Callable[..., Ran], fresh_merchant: str) -> None:
    declared = ("--kind", "agent", "--scope", "refunds:create", "--scope", "payments:read")
    limits = ("--limit-amount", "EUR:5000", "--limit-amount", "JPY:700", "--currency", "USD")
    made = parse_key(keys("create", "--merchant", fresh_merchant, *declared, *limits).out.strip())
    assert made is not None
    keys("create", "--merchant", fresh_merchant)
    keys("create", "--merchant", fresh_merchant, "--kind", "agent")
    keys("rotate", made.key_id, "--merchant", fresh_merchant)
    first, plain, reading, successor = msgspec.json.decode(keys("list", "--merchant", fresh_merchant, "--json").out)
    for row in (first, successor):
        assert (row["kind"], row["scopes"]) == ("agent", ["payments:read", "refunds:create"])
        assert row["limits"] == {"EUR": 5000, "JPY": 700, "USD": None}
    assert (plain["kind"], plain["scopes"], plain["limits"]) == ("service", None, None)
    assert reading["scopes"] and all(scope.endswith(":read") for scope in reading["scopes"])
    shown = keys("list", "--merchant", fresh_merchant).out
    assert all(each in shown for each in ("agent", "refunds:create", "EUR up to 5000", "everything"))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--kind", "robot"),
        ("--scope", "refunds"),
        ("--currency", "XXX"),
        ("--limit-amount", "EUR"),
        ("--limit-amount", "EUR:0"),
        ("--limit-amount", "EUR:" + "9" * 5_000),
        ("--limit-amount", "EUR:-5"),
        ("--limit-amount", "EUR:5", "--limit-amount", "EUR:9"),
        ("--limit-amount", "eur:5"),
    ],
    ids=" ".join,
)
def test_a_declaration_that_cannot_be_read_makes_no_key(
    keys: Callable[..., Ran], database: Database, fresh_merchant: str, wrong: tuple[str, ...]
) -> None:
    assert keys("create", "--merchant", fresh_merchant, *wrong).code == 2
    assert _row(database, "api_key", fresh_merchant) == []


def test_an_operators_key_has_no_limits(keys: Callable[..., Ran]) -> None:
    assert keys("create", "--operator", "--limit-amount", "EUR:5").code != 0
