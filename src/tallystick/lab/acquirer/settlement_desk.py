"""Calls over the book of settlement: a day is closed, days are listed, and their files are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from tallystick.lab.acquirer.bank_day import BANK_DEFECTS
from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.control import Call
from tallystick.lab.acquirer.requests import BadRequest, page_answer, page_of
from tallystick.lab.acquirer.settlement_defects import DEFECTS
from tallystick.lab.acquirer.settlement_formats import FORMATS


class SettlementDesk:
    """Calls over the books' ``settlements``."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def calls(self) -> list[Call]:
        """Every control about settlement."""
        return [Call("/sim/settlements", {"day": str, "defects": list, "formats": list}, self._close_day)]

    def routes(self) -> list[web.RouteDef]:
        """What can be looked at."""
        return [web.get("/sim/settlements", self.days), web.get("/sim/settlements/files/{name}", self.file)]

    def _close_day(self, _: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``{day?, defects?, formats?}``: close a day, which is today where none is named."""
        day, defects = body.get("day", datetime.now(UTC).date().isoformat()), body.get("defects", [])
        try:
            day = date.fromisoformat(day).isoformat()
        except ValueError as error:
            raise BadRequest("day is an ISO date") from error
        if not all(isinstance(each, str) and each in (*DEFECTS, *BANK_DEFECTS) for each in defects):
            raise BadRequest(f"defects are some of {', '.join((*DEFECTS, *BANK_DEFECTS))}")
        formats = body.get("formats", [])
        if not all(isinstance(each, str) and each in FORMATS for each in formats) or len(set(formats)) < len(formats):
            raise BadRequest(f"formats are some of {', '.join(FORMATS)}, each once")
        self._books.late.catch_up()
        return 200, self._books.settlements.close_day(day, defects, formats)

    async def days(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/settlements: all days."""
        after, limit = page_of(request)
        return page_answer(*self._books.settlements.days(after, limit))

    async def file(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/settlements/files/{name}: the bytes as they were written."""
        content = self._books.settlements.content(request.match_info["name"])
        return web.Response(body=content, content_type="text/plain", charset="utf-8")
