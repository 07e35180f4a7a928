"""What auditors get over HTTP: the same files as the command line makes, for whoever has the scope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import asyncpg

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.api_keys import declaration
from tallystick.oversight.audit.anchors import anchor_name, read_anchors
from tallystick.oversight.audit.heads import public_text
from tests.support.api import assert_problem, inside
from tests.support.audit import KEY, KEYS, compare, named, seal_all
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.proof_checker import check_proof
from tests.support.runtime import BookedProvider


async def test_an_auditor_has_everything_over_http(new_database: NewDatabase, tmp_path: Path) -> None:
    database, merchant = new_database(), "m" + new_letters()
    key = await create_key(database.app_url, OPERATORS, operator=True, declared=declaration("human", ["audit:read"]))
    headers = {"authorization": f"Bearer {key}"}
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with inside(
            database, merchant, BookedProvider(), audit_trust=public_text(KEY.public), audit_window_ms=600_000
        ) as api:

            async def get(path: str, **query: Any) -> Any:
                return await api.client.get(f"/v1/audit{path}", params=query, headers=headers)

            empty = (await get("")).json()
            assert (empty["record"], empty["checkpoint"], empty["groups"]) == (None, 0, [])
            assert_problem(await get("/heads"), 404, "not_found")
            payment = (await api.pay()).json()["id"]
            await seal_all(api.app.state.runtime.pool)

            status, after = (await get("")).json(), 0
            while (answer := await get("/heads", after=after)).status_code == 200:
                after = answer.json()["checkpoint"]
                (tmp_path / anchor_name(after)).write_text(json.dumps(answer.json()["file"]))
            assert after == status["checkpoint"] > 0
            assert_problem(await get("/heads", after=after + 7), 404, "not_found")
            async with owner.transaction():
                report = await compare(owner, read_anchors(tmp_path), window_ms=600_000)
            assert (named(report), report.outside) == ([], f"checkpoint {after}")
            assert all(anchor.signed_by(KEYS) for anchor in read_anchors(tmp_path))

            proofs = (await get("/proofs", merchant_id=merchant, subject_id=payment)).json()["data"]
            assert len(proofs) == 2 and all(check_proof(tmp_path, proof)[0] == 0 for proof in proofs)
            assert_problem(await get("/proofs", merchant_id="other", subject_id=payment), 404, "not_found")
            group = next(each["group"] for each in status["groups"] if each["group"] > 1)
            proof = (await get("/consistency", group=group, head=1)).json()["proof"]
            assert check_proof(tmp_path, proof)[0] == 0
            assert_problem(await get("/consistency", group=group, head=99), 404, "not_found")

            sound = (await get("/verify", minutes=60)).json()
            assert (sound["holds"], sound["differences"]) == (True, []) and sound["leaves"] > 3
            await owner.execute("UPDATE transfer SET amount = amount + 1 WHERE stream_id = $1", payment)
            broken = (await get("/verify", minutes=60)).json()
            assert [(each["what"], each["about"]) for each in broken["differences"]] == [
                ("changed", f"change {merchant} {payment}/2")
            ]
            assert_problem(await api.client.get("/v1/audit"), 403, "forbidden")
        async with inside(database, merchant, BookedProvider()) as api:
            without = await api.client.get("/v1/audit/verify", headers=headers)
            assert "TALLYSTICK_AUDIT_TRUST" in assert_problem(without, 404, "not_found")["detail"]
    finally:
        await owner.close()
