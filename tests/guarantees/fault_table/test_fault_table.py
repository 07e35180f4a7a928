"""Every cell of the fault table, brought about and compared: instruction x provider x fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from tallystick.contract.fault_table import CELLS, FAULTS, INSTRUCTIONS, NORMAL, PROVIDERS, Answer, CannotOccur
from tallystick.providers import registry
from tests.guarantees.fault_table import clients, others
from tests.guarantees.fault_table.stands import Programs
from tests.guarantees.fault_table.trial import Trial
from tests.support.acquirer import acquirer
from tests.support.adyen.process import fake_adyen
from tests.support.database import NewDatabase

Alerts = list[MutableMapping[str, Any]]


class Ran(NamedTuple):
    """What came of all cells."""

    trials: dict[tuple[str, str, str], Trial]
    alerts: Alerts


@pytest.fixture(scope="module")
def ran(
    request: pytest.FixtureRequest, new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ran]:
    """The scenes of the columns that the selected tests are about: ``-k circuit_open`` runs one."""
    books: Path = tmp_path_factory.mktemp("books")
    columns = {fault for fault in FAULTS for item in request.session.items if fault in item.name}
    with (
        acquirer(books / "acquirer.sqlite") as bank,
        fake_adyen(books / "adyen.sqlite") as adyen,
        capture_logs() as lines,
    ):
        found = asyncio.run(_all(new_database, Programs(bank, adyen), columns))
    yield Ran({trial.cell: trial for trial in found}, [line for line in lines if line.get("alert")])


async def _all(new_database: NewDatabase, programs: Programs, columns: set[str]) -> list[Trial]:
    """Scenes on one database follow each other: each leaves nothing that recovery would still look at. A database takes
    longer to make and to drop than a scene takes."""
    first, second = new_database(), new_database()

    async def scene(bring: Callable[..., Awaitable[list[Trial]]], *given: Any, about: set[str]) -> list[Trial]:
        return await bring(*given) if about & columns else []

    with pytest.MonkeyPatch.context() as patch:
        found = await _beside(
            _after_another(
                partial(scene, clients.clients_faults, first, programs, patch, about=clients.COLUMNS),
                partial(scene, others.circuit_open, first, programs, about={"circuit_open"}),
            ),
            _after_another(
                partial(scene, others.provider_gone, second, programs, about={"provider_gone"}),
                partial(scene, others.look_up_cut_off, second, programs, about={"look_up_cut_off"}),
                partial(scene, others.retry_after_restore, second, programs, about={"retry_after_restore"}),
            ),
        )
    with pytest.MonkeyPatch.context() as patch:  # its waits are measured by a clock of its own
        found += await scene(others.asked_to_wait, second, programs, patch, about={"asked_to_wait"})
    for fault in ("clock_ahead", "clock_behind"):  # a clock is the whole process's: alone
        with pytest.MonkeyPatch.context() as patch:
            found += await scene(others.clock_off, first, programs, fault, patch, about={fault})
    return found


async def _after_another(*scenes: Callable[[], Awaitable[list[Trial]]]) -> list[Trial]:
    """None is begun after one that failed."""
    return [trial for scene in scenes for trial in await scene()]


async def _beside(*lines: Awaitable[list[Trial]]) -> list[Trial]:
    """Each to its end, also where the other one fails: a scene that is cancelled half way would hide why."""
    ended = await asyncio.gather(*lines, return_exceptions=True)
    if failures := [each for each in ended if isinstance(each, Exception)]:
        raise ExceptionGroup("scenes failed", failures)
    return [trial for each in ended if isinstance(each, list) for trial in each]


def test_the_table_is_whole() -> None:
    """Nothing is left out, and nothing counted twice: a clock that is off is two columns, ahead and behind."""
    every = {(one, name, fault) for one in INSTRUCTIONS for name in PROVIDERS for fault in FAULTS}
    assert set(PROVIDERS) == set(registry.PROVIDERS), "a new provider needs its cells"
    assert (len(INSTRUCTIONS), len(PROVIDERS), len(FAULTS)) == (4, 3, 11)
    assert set(CELLS) == every and len(CELLS) == 132
    assert sum(isinstance(cell, CannotOccur) for cell in CELLS.values()) == 14


@pytest.mark.parametrize("cell", CELLS, ids="-".join)
def test_cell(ran: Ran, cell: tuple[str, str, str]) -> None:
    expected = CELLS[cell]
    answer = expected.otherwise if isinstance(expected, CannotOccur) else expected
    observed = ran.trials[cell].observed(ran.alerts)
    assert _named(observed) == _named(answer)


@pytest.mark.parametrize("which", ["clock_ahead", "clock_behind"])
@pytest.mark.parametrize("normal", NORMAL, ids="-".join)
def test_a_clock_alone_changes_nothing(ran: Ran, normal: tuple[str, str], which: str) -> None:
    observed = ran.trials[*normal, f"{which}_alone"].observed(ran.alerts)
    assert _named(observed) == _named(NORMAL[normal])


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_strangers_are_unharmed(ran: Ran, fault: str, provider: str) -> None:
    """Beside a client's fault at the same provider, beside any other at another one."""
    trials = [ran.trials[instruction, provider, fault] for instruction in INSTRUCTIONS]
    assert {(trial.unharmed, trial.circuit) for trial in trials} == {("201 captured", "closed")}


def _named(answer: Answer) -> dict[str, Any]:
    return answer._asdict()
