"""A refusal, killed at each of its points: the provider's answer is there once for each step that it led to."""

from __future__ import annotations

from typing import Final

import pytest

from tallystick.flows.runtime import Runtime
from tests.support.crash.points import OF_ANSWERS, OF_EVERY_CHANGE, chosen, subjects
from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, Case, Survivor, Time, judge, open_case, survivor
from tests.support.database import DEEP

#: Without depth: every so many-th point, and each of those with which the answer is written.
STRIDE: Final = 9

#: Answers of the merchant, by the digests that its steps name and by their own bytes.
_NAMED: Final = "SELECT evidence ->> 'answer' AS digest FROM transition WHERE merchant_id = $1 AND evidence IS NOT NULL"
_KEPT: Final = """SELECT encode(sha256(a.sealed), 'hex') AS digest, a.payment_id FROM provider_answer a
    JOIN provider_answer_key k USING (merchant_id, payment_id, change_id) WHERE a.merchant_id = $1"""


def test_a_refusal_keeps_its_answer_once(own_url: str, fresh_merchant: str, capsys: pytest.CaptureFixture[str]) -> None:
    instruction = INSTRUCTIONS["create"]
    bank, time = Bank(), Time()
    cases: list[Case] = []

    def opened(healthy: Survivor, point: str) -> Case:
        case = healthy.run(open_case(healthy.runtime, fresh_merchant, point, instruction))
        bank.expect(fresh_merchant, case.key, instruction.kind, "declined")
        cases.append(case)
        return case

    with Graveyard() as graveyard:
        with survivor(own_url, bank, time) as before:
            whole = Process(own_url, time.settings(), bank)
            assert graveyard.run(whole, opened(before, "after the answer").send).status == 201
            around = [number for number, point in enumerate(whole.points) if point.split(" ", 1)[1] in OF_ANSWERS]
            for number in sorted({*chosen(whole.points, 1 if DEEP else STRIDE, elsewhere=OF_EVERY_CHANGE), *around}):
                victim = Process(own_url, time.settings(), bank, kill_at=number)
                assert graveyard.run(victim, opened(before, f"{number}: {whole.points[number]}").send) is None
        with survivor(own_url, bank, time) as after:
            after.recover(time, graveyard.server_pids())
            wrong = after.run(judge(after.runtime, bank, time, cases, "declined", 0))
            named, kept = after.run(_answers(after.runtime, fresh_merchant))
    with capsys.disabled():
        print(f"\n  declined: killed at {len(cases) - 1} of {len(whole.points)} points", end="")
    assert not wrong
    assert len(around) == 2 * len(OF_ANSWERS) and subjects(whole.points) >= OF_ANSWERS
    assert sorted(named) == sorted(digest for digest, _ in kept), "an answer without its step, or twice"
    assert {payment_id for _, payment_id in kept} == {charge.payment_id for charge in bank.charges}


async def _answers(runtime: Runtime, merchant_id: str) -> tuple[list[str], list[tuple[str, str]]]:
    named = await runtime.pool.fetch(_NAMED, merchant_id)
    kept = await runtime.pool.fetch(_KEPT, merchant_id)
    return [row["digest"] for row in named if row["digest"]], [tuple(row) for row in kept]
