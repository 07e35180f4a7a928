"""A posting is one row's, whoever else compares rows at the same moment: another file's, or a person."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.settlement_evidence import Comparing
from tests.support.acts import asked
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, paid
from tests.support.settlement_imports import imported
from tests.support.waiting_sessions import until_beside


async def results_of(runtime: Runtime, *file_ids: str) -> list[tuple[str, str]]:
    """Of each row what it came to, without order."""
    found = await runtime.pool.fetch(
        "SELECT status, reason FROM settlement_evidence WHERE file_id = ANY ($1::text[]) AND gross = 400", file_ids
    )
    return sorted((row["status"], row["reason"]) for row in found)


async def test_two_files_at_once(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of different batches have the row of one payment. The first one's evidence is written, and is not
    committed, when the second one is compared."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment, ids = await paid(runtime, fresh_merchant, 400), []
        for number in range(2):
            file = Acquirer()
            file.of(payment, "charge", 400)
            ids.append((await imported(runtime, file.text(), tmp_path, name=f"{number}.csv")).file.file_id)
        second: list[asyncio.Task[Any]] = []
        really = Comparing.close

        async def before_it_is_committed(*given: Any) -> None:
            await really(*given)
            monkeypatch.undo()
            second.append(asyncio.create_task(compare_file(runtime, ids[1], ACTOR)))
            await until_beside(runtime, second[0])

        monkeypatch.setattr(Comparing, "close", before_it_is_committed)
        await compare_file(runtime, ids[0], ACTOR)
        await second[0]
        assert await results_of(runtime, ids[0]) == [("matched", "same")]
        assert await results_of(runtime, ids[1]) == [("mismatched", "duplicate")]


async def test_a_person_while_a_file_is_compared(
    database: Database, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file's row has the posting, and is not committed; a person says that a riddle is the same one."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant, 400)
        riddle = Acquirer()
        riddle.row("riddle", 400)
        riddle_id = (await imported(runtime, riddle.text(), tmp_path, name="riddle.csv")).file.file_id
        await compare_file(runtime, riddle_id, ACTOR)
        file = Acquirer()
        file.of(payment, "charge", 400)
        file_id = (await imported(runtime, file.text(), tmp_path)).file.file_id
        wanted = asked("settlement_row.match", target_of(riddle_id, 1), subject=payment["id"])
        said: list[asyncio.Task[Any]] = []
        really = Comparing.close

        async def before_it_is_committed(*given: Any) -> None:
            await really(*given)
            monkeypatch.undo()
            said.append(asyncio.create_task(once(runtime.stores.acts, wanted, lambda: resolve(runtime, wanted))))
            await until_beside(runtime, said[0])

        monkeypatch.setattr(Comparing, "close", before_it_is_committed)
        await compare_file(runtime, file_id, ACTOR)
        with pytest.raises(NotResolvable, match="no free posting"):
            await said[0]
        assert await results_of(runtime, file_id) == [("matched", "same")]


async def test_a_file_is_held_in_its_turn(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Whoever compares what waits has the turn, and then holds files: a file that were held first would wait for the
    turn, and the turn for the file."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant, 400), "charge", 400)
        file_id = (await imported(runtime, file.text(), tmp_path)).file.file_id
        async with runtime.stores.waiting.of_provider("simulator") as rows:
            await rows.take_turn()
            beside = asyncio.create_task(compare_file(runtime, file_id, ACTOR))
            await until_beside(runtime, beside)
            is_free = "SELECT file_id FROM settlement_file WHERE file_id = $1 FOR UPDATE SKIP LOCKED"
            assert await runtime.pool.fetchval(is_free, file_id) == file_id
            assert await rows.held([file_id]) == {file_id}
        assert (await beside).rows == 1
