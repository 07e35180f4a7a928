"""The controls that are possible now, for programs: ``tallystick trigger`` chooses from them."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web

from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.control import WebhookDesk
from tallystick.lab.acquirer.options import Options
from tallystick.lab.acquirer.overview import ChargeFile
from tallystick.lab.acquirer.possible import Possible, calls_on_the_acquirer, possible_calls
from tallystick.lab.acquirer.requests import answer, page_of
from tallystick.lab.acquirer.scripts import DEPARTURES

#: The newest charges among which one is looked for: a demonstration makes thousands, and each costs four short reads.
SEARCHED_CHARGES: Final = 1_000

_SHOWN: Final = ("payment_id", "merchant_id", "amount", "currency", "status", "payment_method")


class ControlsList:
    """What can be done to each charge, newest charge first."""

    def __init__(self, books: Books, desk: WebhookDesk, options: Options) -> None:
        self._books = books
        self._desk = desk
        self._options = options

    def routes(self) -> list[web.RouteDef]:
        """Where it is."""
        return [web.get("/sim/controls", self.controls_now)]

    def controls(self, file: ChargeFile) -> list[Possible]:
        """What can be done to one charge."""
        departure = DEPARTURES.get(file.charge["payment_method"], "at_once")
        return possible_calls(file, late_ms=self._options.late_ms, departure=departure)

    async def controls_now(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/controls: of the newest charges, of one payment (``payment_id``), with one control (``control``)."""
        _, limit = page_of(request)
        wanted = request.query.get("control")
        self._books.late.catch_up()
        found = self._books.overview.newest(SEARCHED_CHARGES, payment_id=request.query.get("payment_id"))
        rows: list[dict[str, Any]] = []
        for file in found:
            controls = [each for each in self.controls(file) if wanted in (None, each.name)]
            if controls or wanted is None:
                rows.append({"charge_id": file.charge["id"]} | {name: file.charge[name] for name in _SHOWN})
                rows[-1]["controls"] = msgspec.to_builtins(controls)
            if len(rows) == limit:
                break
        webhooks = {"state": self._desk.state, "url": self._options.webhooks and self._options.webhooks.url}
        acquirer = msgspec.to_builtins(calls_on_the_acquirer(sends=self._desk.state != "unsent"))
        return answer(200, {"webhooks": webhooks, "acquirer": acquirer, "data": rows})
