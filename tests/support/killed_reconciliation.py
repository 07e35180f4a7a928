"""Parts of reconciliation, and an erasure, each carried out by a process that SIGKILL ends at one of its statements or
commits.

``python -m tests.support.killed_reconciliation`` reads jobs, a JSON object a line, and forks a child for each: what it
needs is imported once. It answers each with a line, whether the child was killed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from msgspec.structs import replace

from tallystick.flows.assembly import open_runtime
from tallystick.flows.compliance import erasure
from tallystick.flows.compliance.erasure import Erasures
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve
from tallystick.flows.reconciliation.fetching import ReportFetcher
from tallystick.flows.reconciliation.files import ImportAsked, import_file
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.runtime import Runtime
from tallystick.flows.stores import stores_on
from tallystick.providers.assembly import report_sources
from tallystick.record.journal import Journal
from tallystick.settings.load import Settings
from tests.support.acts import asked
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import ACTOR
from tests.support.settlement_imports import DyingJournal, DyingPool

#: What the child is told to do is over; more than any honest job takes.
JOB_S: Final = 120


class _KillingPool(DyingPool):
    def _die(self, connection: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


async def _import(runtime: Runtime, given: Mapping[str, str]) -> None:
    await import_file(runtime, ImportAsked(path=Path(given["path"]), name=given["name"], actor=ACTOR))


async def _post(runtime: Runtime, given: Mapping[str, str]) -> None:
    await compare_file(runtime, given["file_id"], ACTOR)
    for name in await runtime.stores.evidence.batches_of(given["file_id"]):
        await post_batch(runtime, name, ACTOR)


async def _news(runtime: Runtime, given: Mapping[str, str]) -> None:
    await compare_file(runtime, given["file_id"], ACTOR, tells_news=True)


async def _say(runtime: Runtime, given: Mapping[str, str]) -> None:
    wanted = word_of(given)
    await once(runtime.stores.acts, wanted, lambda: resolve(runtime, wanted))


async def _withdraw(runtime: Runtime, given: Mapping[str, str]) -> None:
    wanted = withdrawal_of(given)
    await once(runtime.stores.acts, wanted, lambda: withdraw(runtime, wanted))


async def _tell(runtime: Runtime, _: Mapping[str, str]) -> None:
    await SettlementTeller(runtime).round()


async def _fetch(runtime: Runtime, given: Mapping[str, str]) -> None:
    sources = report_sources(runtime.settings)
    await ReportFetcher(runtime, sources, lease_ms=1).fetch(given["provider"], "main", given["report"])


async def _erase(runtime: Runtime, given: Mapping[str, str]) -> None:
    erasure.PAGE_PAYMENTS = int(given["page"])  # type: ignore[misc]  # in this child alone
    while await Erasures(runtime).round():
        pass


def word_of(given: Mapping[str, str]) -> Any:
    """What a person says of a row, always the same act."""
    return asked(
        "settlement_row.match",
        given["target"],
        given["key"],
        subject=given["subject"],
        writes_off_difference=True,
    )


def withdrawal_of(given: Mapping[str, str]) -> Any:
    """That a file is withdrawn, always the same act."""
    return asked("settlement_file.withdraw", given["file_id"], given["key"])


_PARTS: Final[Mapping[str, Callable[[Runtime, Mapping[str, str]], Awaitable[None]]]] = {
    "import": _import,
    "post": _post,
    "news": _news,
    "say": _say,
    "withdraw": _withdraw,
    "tell": _tell,
    "fetch": _fetch,
    "erase": _erase,
}


async def _carry_out(job: Mapping[str, Any], settings: Settings) -> None:
    providers = None if job["part"] == "fetch" else {"simulator": BookedProvider()}
    async with open_runtime(settings, job["url"], providers=providers) as runtime:
        pool = _KillingPool(runtime.pool, job["at"], after=job["after"])
        counted = cast(Any, pool)
        process = replace(
            runtime,
            pool=counted,
            stores=stores_on(counted, runtime.clock, settings, runtime.sealer),
            journal=cast(Journal, DyingJournal(runtime.journal, pool)),
        )
        await _PARTS[job["part"]](process, job["given"])


def _main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the children log is no answer
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            settings = pickle.loads(base64.b64decode(job["settings"]))
            try:
                asyncio.run(_carry_out(job, settings))
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        _, status = os.waitpid(child, 0)
        was_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        said = {"killed": was_killed, "code": 0 if was_killed else os.WEXITSTATUS(status)}
        print(json.dumps(said), file=answers, flush=True)


class KilledProcesses:
    """The program that forks them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    async def killed(
        self, part: str, at: int, *, after: bool, url: str, settings: Settings, given: Mapping[str, str]
    ) -> bool:
        """Carry out a part in a process that dies before or after its n-th statement. False: it ended
        before it came so far."""
        packed = base64.b64encode(pickle.dumps(settings)).decode()
        job = {"part": part, "at": at, "after": after, "url": url, "settings": packed, "given": dict(given)}
        answer = await asyncio.wait_for(asyncio.to_thread(self._ask, json.dumps(job)), JOB_S)
        assert answer["code"] == 0, answer
        return bool(answer["killed"])

    def _ask(self, job: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(job, file=self._process.stdin, flush=True)
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


@contextmanager
def killed_processes() -> Iterator[KilledProcesses]:
    command = [sys.executable, "-m", "tests.support.killed_reconciliation"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield KilledProcesses(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=JOB_S)


if __name__ == "__main__":
    _main()
