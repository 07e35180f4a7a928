"""``status``: a few lines, and an exit code for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tallystick.cli.status import WAITING
from tallystick.record.postgres.operator_reads import EndpointCounts
from tallystick.run.status import LIMITS, Part, Status
from tests.support.commands import Ran
from tests.support.operators import SEALED
from tests.support.ports import free_port

Command = Callable[..., Ran]

NAMES = ["database", "schema", "api", "workers", "payments", "webhooks", "providers"]


def test_all_that_waits_has_words() -> None:
    assert set(WAITING) == set(LIMITS)


def test_what_waits_stands_beside_its_part_in_a_few_lines(operate: Command) -> None:
    ran = operate("status", **SEALED, port=str(free_port()), in_doubt_alarm_age_ms="0")
    assert ran.code == 1 and len(ran.out.splitlines()) <= 40, ran.out
    said = " ".join(ran.out.replace("│", " ").split())
    for words in (
        "attempts in doubt (in-doubt list): ",
        "dead letters (dead-letters list)",
        "1 endpoint (webhooks endpoints)",
        "overdue",
    ):
        assert words in said, said
    found = json.loads(operate("status", "--json", **SEALED, port=str(free_port())).out)
    assert not found["well"] and [each["name"] for each in found["parts"]] == NAMES
    waiting = {each["what"]: each for each in found["waiting"]}
    assert set(waiting) == set(WAITING) and waiting["unknown_dispute_amounts"]["waiting"] == 1
    assert waiting["attempts_in_doubt"]["waiting"] == 1 and waiting["messages_to_dispatch"]["waiting"] > 0


@pytest.mark.parametrize(("well", "code", "word"), [(True, 0, "well"), (False, 1, "not well"), (None, 1, "not asked")])
def test_it_exits_with_0_only_where_every_part_is_well(
    well: bool | None, code: int, word: str, operate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tuple(Part(name=name, well=well if name == "workers" else True, says=()) for name in NAMES)

    async def found(*_: object) -> Status:
        return Status(
            parts=parts,
            waiting=(),
            endpoints=EndpointCounts(enabled=0, failing=0, given_up=0),
            circuits=(),
            warnings=(),
        )

    monkeypatch.setattr("tallystick.cli.status.read_status", found)
    ran = operate("status")
    assert ran.code == code and f"│ {word}" in ran.out
    assert operate("status", "--json").code == code
