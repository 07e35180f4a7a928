"""Lists as CSV. A cell that a spreadsheet would take for a formula is made text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from litestar.response import Response

#: What a formula begins with in one spreadsheet or another. Source: OWASP, "CSV Injection".
FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: object) -> str:
    """A value as text that no spreadsheet calculates: an apostrophe before it says so, as OWASP advises. Numbers of
    ours are left as they are."""
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS) else text


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """All of it, each cell in quotes: what is in one stays in it, whatever separates cells elsewhere."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([cell(value) for value in row] for row in rows)
    return out.getvalue()


def download(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response[Any]:
    """A file that the browser saves and does not show."""
    return Response(
        csv_text(header, rows).encode(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )
