"""Coverage by room: ``python -m tests.support.coverage_table report.json``, with a report of ``coverage json``."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

#: What is summed up: lines and branches, and those of them that ran.
COLUMNS = ("num_statements", "covered_lines", "num_branches", "covered_branches")


def room_of(path: str) -> str:
    """``src/tallystick/flows/runtime.py`` is in ``flows``; a loose module is a room of its own."""
    return PurePosixPath(path.rpartition("tallystick/")[2]).parts[0].removesuffix(".py")


def table(files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line a room and one for all: lines, and the percentages of lines and branches that ran."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0] * len(COLUMNS))
    for path, file in files.items():
        for room in (room_of(path), "all"):
            sums[room] = [old + file["summary"].get(name, 0) for old, name in zip(sums[room], COLUMNS, strict=True)]
    rooms = [*sorted(sums.keys() - {"all"}), *(["all"] if sums else [])]
    lines = [f"{'room':<16} {'lines':>7} {'run':>7} {'branches':>9} {'run':>7}"]
    for room in rooms:
        statements, run, branches, taken = sums[room]
        lines.append(f"{room:<16} {statements:>7} {_share(run, statements)} {branches:>9} {_share(taken, branches)}")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:>6.1f}%" if whole else f"{'-':>7}"


if __name__ == "__main__":
    print("\n".join(table(json.loads(Path(sys.argv[1]).read_text())["files"])))
