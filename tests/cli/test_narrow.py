"""On a terminal of 80 columns nothing is cut: ids stay whole, and what is longer folds."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from tallystick.cli.context import console
from tallystick.cli.tables import facts_of, literal, table_of, way_of_an_event
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.verdicts import Approved
from tallystick.kit.ids import new_id
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.in_doubt import in_lane
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, envelope
from tests.support.runtime import BookedProvider, runtime_of

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """A command on the test database, in 80 columns."""
    monkeypatch.setattr(console, "width", 80)
    return lambda *arguments, **settings: run_here(
        monkeypatch, capsys, *arguments, database_url=database.app_url, **settings
    )


def columns(table: str) -> str:
    """What is in a table, column by column, with the lines that were folded put together again."""
    cells = [re.split("[│┃]", line)[1:-1] for line in table.splitlines() if line[:1] in "│┃"]
    return "\n".join("".join(cell.strip() for cell in column) for column in zip(*cells, strict=True))


def dead_event(database: Database, merchant: str, provider_event_id: str, kind: str) -> str:
    """An event about a payment that nobody knows, until it is dead; its id."""

    async def die() -> str:
        verdict = Approved(amount=1, currency="EUR", effect="captured")
        notice = AttemptNotice(operation="authorize", attempt_id=new_id("att"), verdict=verdict)
        event = envelope(provider_event_id, notice, merchant_id=merchant, payment_id=new_id("pay"), type=kind)
        await accept(database, [event])
        async with runtime_of(database.app_url, BookedProvider(), settings=WEBHOOK_SETTINGS) as runtime:
            await drain(runtime)
        return event.event_id

    return asyncio.run(die())


def test_control_characters_of_others_reach_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in a provider's words could colour, erase or retitle what an operator reads."""
    said = "line\nnext \x1b[2J\x1b]0;title\x07 \x9b31m\x00\r"
    console.print(facts_of([("failure", said)]))
    console.print(table_of(("event", "type"), [("evt", said)], title="Events"))
    console.print(literal(said))
    out = capsys.readouterr().out
    assert out.count(r"next \x1b[2J\x1b]0;title\x07 \x9b31m\x00\r") == 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out)


def test_dead_letters(database: Database, fresh_merchant: str, command: Command) -> None:
    """Words of the provider are shown as they are: no markup, however long."""
    name, kind = f"[bold]{'x' * 200}[/]", "charge.[red]captured[/]." + "y" * 90
    event = dead_event(database, fresh_merchant, name, kind)
    listed = command("dead-letters", "list", "--merchant", fresh_merchant, webhook_dead_letter_alarm_age_ms="0")
    assert listed.code == 1 and max(map(len, listed.out.splitlines())) <= 80
    assert event in listed.out and "payments-oncall" in listed.out
    assert "`tallystick dead-letters show EVENT`" in " ".join(listed.out.split())
    (letter,) = json.loads(command("dead-letters", "list", "--merchant", fresh_merchant, "--json").out)
    assert letter["payment_id"] in listed.out and letter["dead_since"][:16] in listed.out
    assert kind in columns(listed.out) and "no such payment" in listed.out and "…" not in listed.out

    shown = command("dead-letters", "show", event)
    trace = json.loads(command("dead-letters", "show", event, "--json").out)
    ids = [event, trace["payment_id"], name, *(each["detail"] for each in trace["checkpoints"][:1])]
    assert all(each in shown.out for each in ids) and "…" not in shown.out
    assert ids[-1].startswith("dlv_")
    for checkpoint in trace["checkpoints"]:
        assert (checkpoint["detail"] or "").replace(" ", "") in columns(shown.out).replace(" ", "")


def test_the_way_of_an_event_folds_what_no_line_can_hold() -> None:
    narrow = Console(width=80, force_terminal=False)
    step = f"payment {new_id('pay')}: authorized to captured"
    error = "provider says: " + "z" * 200
    rows = [("persist", "2026-11-23T09:08:29.123+00:00", "captured", step), ("process", "", "failed", error)]
    with narrow.capture() as printed:
        narrow.print(way_of_an_event(rows))
    out = printed.get()
    assert step.split()[1] in out and "z" * 200 in columns(out) and "2026-11-23T09:08:29.123+00:00" in out


def test_the_in_doubt_lane(database: Database, fresh_merchant: str, command: Command) -> None:
    payment_id, attempt_id = in_lane(database, fresh_merchant)
    listed = command("in-doubt", "list", "--merchant", fresh_merchant, in_doubt_alarm_age_ms="0")
    assert payment_id in listed.out and attempt_id in listed.out and "…" not in listed.out
    assert all(word in listed.out for word in ("authorize", "1000 EUR", "unknown", "payments-oncall", "overdue"))


def test_keys(command: Command) -> None:
    merchant = new_id("ins").replace("ins_", "")
    assert len(merchant) == 32, "the longest there is"
    made = command("keys", "create", "--merchant", merchant)
    key_id = made.out.split("_")[2]
    assert command("keys", "revoke", key_id, "--merchant", merchant).code == 0
    listed = command("keys", "list", "--merchant", merchant)
    (row,) = json.loads(command("keys", "list", "--merchant", merchant, "--json").out)
    assert merchant in listed.out and key_id in listed.out and "…" not in listed.out
    for at in (row["created_at"], row["revoked_at"]):
        assert at[:19] in columns(listed.out)


def test_violations_name_their_payments(database: Database, fresh_merchant: str, command: Command) -> None:
    payment_id, _ = in_lane(database, fresh_merchant)
    checked = command("verify", "--merchant", fresh_merchant, in_doubt_alarm_age_ms="0")
    lines = [line for line in checked.out.splitlines() if line.startswith("✗")]
    assert checked.code == 1 and any(payment_id in line or "att_" in line for line in lines), checked.out
