"""The commands of the audit, on a record that is sealed."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import asyncpg
import pytest

from tallystick.oversight.audit.heads import public_text
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import KEY, KEY_TEXT, SETTINGS, copy_heads, seal_all
from tests.support.commands import Ran, run_here
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, Client, read, runtime_of

MERCHANT = "m" + new_letters()


async def _sealed(app_url: str, heads: Path) -> str:
    """A payment of a record that is sealed, with its heads outside."""
    async with runtime_of(app_url, BookedProvider()) as runtime:
        payment_id = read(await Client(runtime, MERCHANT).create("k"))["id"]
        async with await open_pool(app_url, SETTINGS) as pool:
            await seal_all(pool)
            await copy_heads(pool, heads)
    return str(payment_id)


def test_a_record_is_sealed_verified_and_proved(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = new_database()

    def run(*arguments: str, **settings: str) -> Ran:
        return run_here(monkeypatch, capsys, "audit", *arguments, database_url=database.app_url, **settings)

    empty = run("status")
    assert empty.code == 0 and "not sealed yet" in " ".join(empty.out.split())
    payment_id = asyncio.run(_sealed(database.app_url, tmp_path / "heads"))
    assert "merchants" in run("status").out
    status = json.loads(run("status", "--json").out)
    assert sum(group["size"] for group in status["groups"]) > 3

    without_key = run("verify")
    assert without_key.code == 2 and "--public-key" in without_key.err
    keys = tmp_path / "keys"
    keys.write_text(public_text(KEY.public) + "\n")
    alone = run("verify", "--public-key", str(keys))
    assert alone.code == 0 and "Consistent in itself, not anchored" in alone.out
    outside = ("verify", "--heads", str(tmp_path / "heads"), "--public-key", str(keys))
    anchored = run(*outside)
    assert anchored.code == 0 and "Not rewritten since it was sealed, up to checkpoint" in anchored.out
    assert "nothing is promised" in anchored.out

    assert run("public-key", audit_signing_key=KEY_TEXT).out == keys.read_text()
    proved = run("prove", payment_id, "--merchant", MERCHANT, "--out", str(tmp_path))
    assert len(proved.out.splitlines()) == 2
    group = json.loads(Path(proved.out.splitlines()[0]).read_text())["head"].split("group ")[1].split("\n")[0]
    assert "consistency" in run("consistency", group, "1").out
    assert run("prove", "pay_none", "--merchant", MERCHANT).code == 2

    since = run("verify", "--since", "2999-01-01", "--public-key", str(keys))
    assert since.code == 0 and "Only what was sealed after checkpoint" in since.out
    nothing_lost = ("restored", "--from-head", str(status["checkpoint"]), "--reason", "r", "--heads")
    refused = run(*nothing_lost, str(tmp_path / "heads"), audit_signing_key=KEY_TEXT)
    assert refused.code == 2 and "nothing was lost" in refused.err
    next_key = tmp_path / "next"
    next_key.write_text(base64.b64encode(b"no secret: the next one of tests").decode())
    rotate = ("keys", "rotate", "--new-key", str(next_key), "--trust", str(keys))
    assert run(*rotate).code == 2, "without the key that signs now"
    rotated = run(*rotate, audit_signing_key=KEY_TEXT)
    assert rotated.code == 0 and rotated.out.splitlines()[0] in keys.read_text()
    assert run(*outside).code == 0 and run("verify", "--public-key", str(keys)).code == 0

    asyncio.run(_rewrite(database.owner_url, payment_id))
    rewritten = run(*outside)
    assert rewritten.code == 1 and f"changed: change {MERCHANT} {payment_id}/2" in rewritten.out
    assert "nothing is promised" in rewritten.out, "what is promised does not depend on what was found"
    assert json.loads(run(*outside, "--json").out)["holds"] is False


async def _rewrite(owner_url: str, payment_id: str) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute("UPDATE transfer SET amount = amount + 1 WHERE stream_id = $1", payment_id)
    finally:
        await connection.close()
