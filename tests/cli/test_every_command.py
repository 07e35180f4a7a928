"""What holds for every command: -h, --json, --config, 80 columns, the page, and words for a database that is away."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from tallystick.cli.command import app
from tallystick.cli.context import console
from tallystick.cli.recover import _print as print_recovered
from tallystick.flows.recovery.forgotten import Forgotten, ProviderAsked
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderEffect
from tests.support.commands import Ran, run_here
from tests.support.database import DEEP
from tests.support.operators import LONG, MERCHANT, SEALED, World, ids_in
from tests.support.ports import free_port
from tests.support.second_version import published
from tests.support.settlement_files import golden_file

ROOT: Final = Path(__file__).resolve().parents[2]

Command = Callable[..., Ran]

#: A schedule of fees as an operator writes it.
SCHEDULE: Final = ROOT / "docs/operate/fee-schedule.json"

#: Commands without --json, with the reason.
WITHOUT_JSON: Final = {
    "up": "a role: it logs in JSON where nobody looks on",
    "serve": "a role",
    "work": "a role",
    "console": "a role",
    "simulate": "a role",
    "demo": "a demonstration for people",
    "alerts rules": "a file for Prometheus",
    "alerts dashboard": "a file for Grafana",
    **dict.fromkeys(("audit prove", "audit consistency"), "prints JSON, or the paths of files"),
    **dict.fromkeys(("audit public-key", "audit keys rotate"), "prints a key"),
    "settlements schema": "a JSON Schema",
}

#: Commands of lists whose rows have owners in a table of their own, and the prefix of their ids.
OWNED: Final = {"in-doubt": "att", "late-money": "pay", "dead-letters": "evt", "webhook-refusals": "wrf"}

#: Commands that print no table of the record, with the reason.
WITHOUT_TABLE: Final = {
    **WITHOUT_JSON,
    **dict.fromkeys(("keys create", "keys rotate"), "prints a key"),
    "login": "a sentence",
    "listen": "a line for each message, until Ctrl-C",
    **dict.fromkeys(
        ("in-doubt show", "openapi", "contract", "contract authority", "contract write"),
        "prints a document or its path",
    ),
    **dict.fromkeys(
        (
            "migrate",
            "keys pin",
            "keys revoke",
            "webhooks resend",
            "disputes state-amount",
            "in-doubt resolve",
            "late-money accept",
            "late-money return",
            "dead-letters replay",
            "dead-letters discard",
            "sealing-keys retire",
            "rejections acknowledge",
            "rejections escalate",
            "rejections give-back",
            "rejections ignore",
            "rejections reprocess",
            "acts annotate",
            "providers pause",
            "providers resume",
            "release mark",
            "fees set",
            "reconciliation run",
            "settlements withdraw",
            "reconciliation match",
            "reconciliation write-off",
            "alerts acknowledge",
            "alerts hand-on",
            "alerts give-back",
            "alerts resolve",
            "webhook-refusals close",
            *(f"{each} {act}" for each in OWNED for act in ("take", "hand-on", "give-back")),
            "operators add",
            "operators change",
            "operators disable",
            "operators reset",
            "operators approve",
            "operators reject",
            "audit restored",
            "erase",
            "erase prepare",
        ),
        "an act: a sentence",
    ),
    **dict.fromkeys(("audit status", "audit verify"), "facts of a sealed record: test_audit"),
    "erase list": "what was approved: test_erase",
    "settlements fetch": "asks a provider: tests/flows/reconciliation/test_fetching.py",
    "recover": "asks a provider: test_what_a_restored_record_lacks_fits",
    "settings": "a table for a terminal alone: test_settings_stand_in_groups_that_fit",
}


def commands_of(found: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its words after ``tallystick``."""
    context = typer.Context(found)
    if not hasattr(found, "list_commands"):
        yield name.strip(), found
        return
    if found.invoke_without_command:
        yield name.strip(), found
    for below in found.list_commands(context):
        yield from commands_of(found.get_command(context, below), f"{name} {below}")


COMMANDS: Final = dict(commands_of(typer.main.get_command(app)))

BENCHES: Final = {name for name in COMMANDS if name.startswith("bench ")}


def takes(option: str, command: Any) -> bool:
    return any(option in parameter.opts for parameter in command.params)


def test_each_command_has_json_or_is_for_people_alone() -> None:
    assert {name for name, each in COMMANDS.items() if not takes("--json", each)} == set(WITHOUT_JSON)


def test_each_command_takes_a_config_file() -> None:
    assert all(takes("--config", each) for each in COMMANDS.values())


@pytest.mark.exhaustive
def test_each_command_answers_to_h(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    root = typer.main.get_command(app)
    program = root.make_context("tallystick", [], resilient_parsing=True)
    for name, each in COMMANDS.items():
        assert "-h" in each.get_help_option_names(typer.Context(each, parent=program)), name
    groups = {name.split()[0] for name in COMMANDS}
    for name in ("", *sorted(groups | set(COMMANDS))[:: 1 if DEEP else 8]):
        ran = run_here(monkeypatch, capsys, *name.split(), "-h")
        assert ran.code == 0 and f"tallystick {name} [OPTIONS]".replace("  ", " ") in " ".join(ran.out.split()), name
        assert max(map(len, ran.out.splitlines())) <= 80, name


def test_the_page_has_each_command() -> None:
    page = (ROOT / "docs/operate/command-line.md").read_text(encoding="utf-8")
    table = page.partition("## Commands\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z -]+)` \|", table, re.MULTILINE) == list(COMMANDS)


def lines_with_rows(world: World) -> dict[str, list[str]]:
    """Every command that prints a table of the record, with what it needs."""
    sample = world.sample
    return {
        "trigger": ["list"],
        "doctor": [],
        "status": [],
        "trace": [sample.refunded],
        "payments list": ["--merchant", MERCHANT],
        "payments show": [sample.refunded],
        "refunds list": [],
        "refunds show": [sample.refund],
        "disputes list": [],
        "disputes show": [sample.dispute],
        "disputes unknown-amounts": [],
        "provider-events list": [],
        "provider-events show": [world.event],
        "provider-events tail": ["--last", "30", "--count", "10"],
        "webhooks endpoints": [],
        "webhooks deliveries": [world.endpoint],
        "webhooks reread": ["--type", LONG],
        "webhooks foreign": [],
        "merchants": [],
        "keys list": [],
        "versions": [],
        "verify": ["--processes", "1"],
        "contract diff": [str(ROOT / "docs/reference/releases/v0.2.0")],
        "in-doubt list": [],
        "late-money list": [],
        "rejections list": [],
        "rejections groups": [],
        "rejections show": [world.case],
        "rejections events": [],
        "acts list": [],
        "acts show": [world.act],
        "operators list": [],
        "operators review": [],
        "operators requests": [],
        "providers list": [],
        "release list": [],
        "fees list": [],
        "reconciliation explain": ["simulator"],
        "reconciliation open": ["simulator"],
        "settlements import": [str(golden_file("stripe_payout_reconciliation"))],
        "settlements list": [],
        "settlements show": [world.settlement_file],
        "dead-letters list": [],
        "dead-letters show": [world.event],
        "sealing-keys list": [],
        "webhook-refusals": [],
        "webhook-refusals list": [],
        "alerts list": [],
        "alerts show": [world.alert],
        "metrics": [],
        "contract-drift": [],
    }


#: Their JSON has no ids at the top of its rows, or is an object a line.
WITHOUT_ROWS_OF_IDS: Final = (
    "doctor",
    "status",
    "trace",
    "payments show",
    "provider-events tail",
    "webhooks foreign",
    "versions",
    "verify",
    "contract diff",
    "sealing-keys list",
    "webhook-refusals",
    "contract-drift",
    "rejections groups",
    "rejections events",
    "providers list",
    "release list",
    "fees list",
    "reconciliation explain",
    "reconciliation open",
    "alerts show",
    "metrics",
)


def test_each_table_was_thought_of(world: World) -> None:
    assert set(lines_with_rows(world)) | set(WITHOUT_TABLE) | BENCHES == set(COMMANDS)


def test_no_table_is_wider_than_80_columns_and_ids_are_whole(world: World, operate: Command) -> None:
    with ExitStack() as published_too:
        for name, arguments in lines_with_rows(world).items():
            if name == "versions":
                published_too.enter_context(published())  # so that there is an older one to tell of
            ran = operate(*name.split(), *arguments, **SEALED, port=str(free_port()))
            assert ran.code in (0, 1) and len(ran.out.splitlines()) > 3, (name, ran)
            table = [line for line in ran.out.splitlines() if not line.startswith("✗")]  # a violation is one line
            assert max(map(len, table)) <= 80, (name, ran.out)
            assert not re.search(r"\w… *([│┃]|$)", ran.out, re.MULTILINE), (name, ran.out)  # nothing is cut off
            if name in WITHOUT_ROWS_OF_IDS:
                continue
            rows = json.loads(operate(*name.split(), *arguments, "--json").out)
            for row in rows if isinstance(rows, list) else [rows]:
                assert not [each for each in ids_in(row) if each not in ran.out], (name, ran.out)


def test_settings_stand_in_groups_that_fit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setattr(console, "width", 80)
    ran = run_here(monkeypatch, capsys, "settings")
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", ran.out).splitlines())) <= 80
    groups = {row["group"] for row in json.loads(run_here(monkeypatch, capsys, "settings", "--json").out)}
    assert len(groups) == 17 and all(group and f" {group} " in ran.out for group in groups)


def test_what_a_restored_record_lacks_fits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(console, "width", 80)
    effect = ProviderEffect(
        reference="ch_" + "0" * 24,
        operation="authorize",
        merchant_id=MERCHANT,
        payment_id=new_id("pay"),
        attempt_id=new_id("att"),
        amount=1_000_000_000,
        currency="EUR",
        state="captured",
    )
    found = Forgotten(provider="simulator", effect=effect, payment_known=False)
    print_recovered([ProviderAsked(provider="simulator", listed=1, failed=None, forgotten=[found])])
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80 and effect.payment_id in out and MERCHANT in out


#: What a command needs beside its name to get as far as the database.
NEEDED: Final = {
    "trace": [new_id("pay")],
    "payments show": [new_id("pay")],
    "refunds show": [new_id("re")],
    "disputes show": [new_id("dp")],
    "disputes state-amount": [new_id("dp"), *"--movement m --amount 1 --reason r".split()],
    "provider-events show": [new_id("evt")],
    "webhooks deliveries": [new_id("we")],
    "webhooks resend": [new_id("we"), new_id("msg"), *"--reason r".split()],
    "webhooks reread": ["--type", "t"],
    "keys create": ["--merchant", "m"],
    "keys rotate": ["k", "--merchant", "m"],
    "keys pin": ["k", "--merchant", "m", "--version", "2026-11-26"],
    "keys revoke": ["k", "--merchant", "m"],
    "recover": ["--since", "2026-01-01"],
    "in-doubt show": [new_id("att")],
    "in-doubt resolve": [new_id("att"), *"--outcome executed --evidence e --reason r".split()],
    "late-money accept": [new_id("pay"), *"--reason r".split()],
    "late-money return": [new_id("pay"), *"--reason r".split()],
    "dead-letters show": [new_id("evt")],
    "dead-letters replay": [new_id("evt"), "--reason", "r"],
    "dead-letters discard": [new_id("evt"), "--reason", "r"],
    "alerts show": [new_id("alr")],
    "alerts acknowledge": [new_id("alr"), "--reason", "r"],
    "alerts resolve": [new_id("alr"), "--reason", "r"],
    "alerts hand-on": [new_id("alr"), "--to", "o", "--reason", "r"],
    "alerts give-back": [new_id("alr"), "--reason", "r"],
    "webhook-refusals close": [new_id("wrf"), "--reason", "r"],
    **{f"{name} {act}": [new_id(of), "--reason", "r"] for name, of in OWNED.items() for act in ("take", "give-back")},
    **{f"{name} hand-on": [new_id(of), "--to", "o", "--reason", "r"] for name, of in OWNED.items()},
    "settlements import": [__file__],
    "settlements show": [new_id("stl")],
    "settlements withdraw": [new_id("stl"), "--reason", "r"],
    "reconciliation match": [new_id("stl"), "1", new_id("pay"), "--reason", "r"],
    "reconciliation write-off": [new_id("stl"), "1", "--reason", "r"],
    "rejections show": [new_id("case")],
    "rejections acknowledge": [new_id("case"), "--reason", "r"],
    "rejections escalate": [new_id("case"), "--to", "o", "--reason", "r"],
    "rejections give-back": [new_id("case"), "--reason", "r"],
    "rejections ignore": [new_id("case"), "--reason", "r"],
    "rejections reprocess": [new_id("case"), "--reason", "r"],
    "acts show": [new_id("opa")],
    "acts annotate": [new_id("pay"), "--reason", "r"],
    "providers pause": ["simulator", "--reason", "r"],
    "providers resume": ["simulator", "--reason", "r"],
    "release mark": ["1.0"],
    "audit prove": [new_id("pay"), "--merchant", "m"],
    "audit consistency": ["2", "1"],
    "reconciliation explain": ["simulator"],
    "reconciliation open": ["simulator"],
    "fees set": ["simulator", str(SCHEDULE), "--reason", "r"],
    "operators add": ["ada", "--role", "viewer", "--reason", "r"],
    "operators change": ["ada", "--role", "viewer", "--reason", "r"],
    "operators disable": ["ada", "--reason", "r"],
    "operators reset": ["ada", "--reason", "r"],
    "operators approve": [new_id("apr"), "--reason", "r"],
    "operators reject": [new_id("apr"), "--reason", "r"],
    "erase": ["--payment", new_id("pay"), "--reason", "r"],
    "login": ["--out"],
    "sealing-keys retire": ["01234567", *"--reason r".split()],
}

#: Commands that open no database of the settings, or go on without it, with the reason.
WITHOUT_DATABASE: Final = {
    **dict.fromkeys(("alerts rules", "alerts dashboard", "settlements schema"), "the code alone"),
    **dict.fromkeys(
        ("settings", "contract", "contract authority", "contract diff", "contract write", "openapi", "metrics"),
        "the code alone",
    ),
    **dict.fromkeys(("simulate", "trigger", "listen", "demo", "up"), "the acquirer, the API, or several programs"),
    "audit public-key": "the settings alone",
    **dict.fromkeys(("audit restored", "audit keys rotate"), "the signing key, and a file, come first: test_audit"),
    "status": "test_status: it is a finding",
    "doctor": "test_doctor: it is a finding",
}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - set(WITHOUT_DATABASE) - BENCHES))
def test_a_database_that_is_away_is_named_with_its_remedy_and_without_a_password(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    away = f"postgresql://nobody:hunter2@127.0.0.1:{port}/nothing"
    line = [*name.split(), *NEEDED.get(name, ())]
    ran = run_here(
        monkeypatch,
        capsys,
        *line,
        database_url=away,
        migration_database_url=away,
        port=str(free_port()),
        console_port=str(free_port()),
        **SEALED,
    )
    assert (ran.code, ran.out) == (75 if name in ("serve", "work", "console") else 2, ""), ran
    (said,) = ran.err.splitlines()
    assert f"cannot reach the database at 127.0.0.1:{port}; nothing was done. Check that it runs" in said
    assert "TALLYSTICK_DATABASE_URL" in said and "hunter2" not in said


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("tallystick pay", {"payments"}),
        ("tallystick provider-events ta", {"tail"}),
        ("tallystick payments list --state cap", {"captured", "capturing"}),
        ("tallystick webhooks deliveries we_1 --state e", {"exhausted"}),
        ("tallystick status --j", {"--json"}),
    ],
)
def test_the_shell_completes_commands_options_and_states(
    line: str, completed: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "_TALLYSTICK_COMPLETE", "complete_bash")
    monkeypatch.setitem(os.environ, "COMP_WORDS", line)
    monkeypatch.setitem(os.environ, "COMP_CWORD", str(len(line.split()) - 1))
    ran = run_here(monkeypatch, capsys)
    assert set(ran.out.split()) <= completed and completed & set(ran.out.split()), ran


def test_completion_is_printed_for_a_shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: "bash")
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    ran = run_here(monkeypatch, capsys, "--show-completion")
    assert ran.code == 0 and "_TALLYSTICK_COMPLETE=complete_bash" in ran.out
