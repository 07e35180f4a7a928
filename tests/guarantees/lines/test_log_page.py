"""The page on the log has every line that is declared, with its level, and every field."""

from __future__ import annotations

import re
from pathlib import Path

from tallystick.flows.payments.call_line import CALLED
from tallystick.flows.payments.instruction_line import INSTRUCTION
from tallystick.flows.webhooks.inbound.event_lines import KEPT, PROCESSED
from tallystick.flows.webhooks.outbound.try_line import TRIED
from tallystick.kit.log_writer import GATHER_S, QUEUE_LIMIT
from tallystick.record.commit_lines import COMMITTED, FINISHED

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "operate" / "logs.md").read_text(encoding="utf-8")
LINES = (INSTRUCTION, FINISHED, CALLED, COMMITTED, KEPT, PROCESSED, TRIED)


def test_every_declared_line_has_a_row() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "src" / "tallystick").rglob("*.py")]
    assert sum(len(re.findall(r"^\w+: Final = Line\($", source, re.MULTILINE)) for source in sources) == len(LINES)
    rows = re.findall(r"^\| `([a-z ]+)` \| (debug|info) \|", PAGE, re.MULTILINE)
    assert dict(rows) == {line.event: line.level for line in LINES}


def test_every_field_has_a_row() -> None:
    table = PAGE.partition("## Fields")[2].partition("## Spans")[0]
    rows = [re.findall(r"`([a-z_]+)`", row.split("|")[1]) for row in table.splitlines() if row.startswith("| `")]
    assert sorted(name for row in rows for name in row) == sorted({name for line in LINES for name in line.names})


def test_a_line_that_names_an_instruction_has_the_kind_of_its_key() -> None:
    named = [line for line in LINES if "idempotency_key" in line.names]
    assert len(named) == len(LINES) - 1, "a delivery's bytes name the payment alone"
    assert all("key_kind" in line.names for line in named)


def test_every_line_but_that_of_another_s_end_is_a_span() -> None:
    table = PAGE.partition("## Spans")[2]
    spans = re.findall(r"^\| `([a-z ]+)` \| (?:server|client|consumer|producer) \|", table, re.MULTILINE)
    assert sorted(spans) == sorted(line.event for line in LINES if line is not FINISHED)


def test_what_a_killed_process_loses_is_bounded_by_the_queue() -> None:
    loses = PAGE.partition("(SIGKILL")[2].partition("\n\n")[0]
    for bound in (f"{GATHER_S * 1000:.0f} ms", f"{QUEUE_LIMIT:,}"):
        assert bound in loses, bound
