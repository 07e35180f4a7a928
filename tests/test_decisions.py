"""Every decision has the form that its README asks for, and a row there."""

from __future__ import annotations

import re
from pathlib import Path

DECISIONS = Path(__file__).resolve().parents[1] / "docs" / "decisions"

SECTIONS = ["Context", "Choice", "Cost", "Rejected"]

HEAD = re.compile(
    r"# (?P<number>\d{4})\. (?P<title>\S.*\S)\n"
    r"\n"
    r"- Date: (?P<date>\d{4}-\d{2}-\d{2})\b.*\n"
    r"- Status: (?P<status>accepted|replaced by \[?\d{4}).*\n"
)


def faults(name: str, text: str, rows: str) -> list[str]:
    """What one decision lacks. ``rows``: the README."""
    head = HEAD.match(text)
    if head is None:
        return [f"{name}: it does not begin with number and title, date, and status"]
    found = []
    if not name.startswith(f"{head['number']}-"):
        found.append(f"{name}: its file has another number")
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    if [each for each in sections if each in SECTIONS] != SECTIONS:
        found.append(f"{name}: it needs the sections {', '.join(SECTIONS)}, in this order")
    if any(not body.strip() for body in re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]):
        found.append(f"{name}: a section is empty")
    row = f"| [{head['number']}]({name}) | {head['title']} | {head['date']} | {head['status'].replace('[', '')}"
    if rows.count(f"\n{row}") != 1:
        found.append(f"{name}: README.md has no row like {row}")
    return found


def test_every_decision_has_its_form() -> None:
    rows = (DECISIONS / "README.md").read_text(encoding="utf-8")
    files = sorted(file for file in DECISIONS.glob("*.md") if file.name != "README.md")
    assert [each for file in files for each in faults(file.name, file.read_text(encoding="utf-8"), rows)] == []
    assert re.findall(r"^\| \[\d{4}\]\((\S+)\)", rows, re.MULTILINE) == [file.name for file in files]


GOOD = (
    "# 0001. A title\n\n- Date: 2026-11-23\n- Status: accepted; narrowed by 0002\n\n"
    "## Context\n\nSo.\n\n## Choice\n\nThis.\n\n## Cost\n\nThat.\n\n## Rejected\n\n- *Those.* Because.\n"
)
ROW = "\n| [0001](0001-a-title.md) | A title | 2026-11-23 | accepted |\n"


def test_a_decision_without_its_form_is_found() -> None:
    name = "0001-a-title.md"
    assert faults(name, GOOD, ROW) == []
    assert faults("0002-a-title.md", GOOD, ROW) != []
    assert faults(name, GOOD.replace("- Status: accepted; narrowed by 0002\n", ""), ROW) != []
    assert faults(name, GOOD.replace("## Cost\n\nThat.\n\n", ""), ROW) != []
    assert faults(name, GOOD.replace("That.\n\n", ""), ROW) != []
    assert faults(name, GOOD.replace("A title", "Another title"), ROW) != []
    assert faults(name, GOOD, ROW.replace("23", "24")) != []
