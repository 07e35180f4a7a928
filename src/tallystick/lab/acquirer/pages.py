"""The pages for people: the back office, and where a customer completes or fails a payment. No script runs on them; a
button is a form that does what its call does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from tallystick.lab.acquirer import wording
from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.control import Call, WebhookDesk
from tallystick.lab.acquirer.control_table import CONTROLS
from tallystick.lab.acquirer.controls_list import ControlsList
from tallystick.lab.acquirer.health import NextHealth
from tallystick.lab.acquirer.options import Options
from tallystick.lab.acquirer.origin import require_own_form, require_own_host
from tallystick.lab.acquirer.possible import calls_on_the_acquirer
from tallystick.lab.acquirer.requests import BadRequest, form, page_of
from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.views import customer_path

#: Charges on a page.
PAGE_CHARGES: Final = 20

#: Before the path of a call: where its button posts to.
FORMS: Final = "/back-office"

#: A page shows text and our own stylesheet, and sends forms to where it came from. It runs nothing.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser would not say where a form comes from
    "Cache-Control": "no-store",
}

#: Fields of a button's form beside those of its call: where its page goes on.
_PLACE: Final = {"button": str, "charge": str}

#: Label -> what it does. Two controls of one name have two labels.
_DOES: Final[Mapping[str, str]] = {control.label: control.does for control in CONTROLS}

#: What the customer sees once it is decided.
_CUSTOMER: Final = {
    "requires_action": "waiting",
    "authorized": "completed",
    "captured": "completed",
    "declined": "failed",
    "voided": "closed",
    "failed": "closed",
}


class Pages:
    """Handlers that render HTML."""

    def __init__(
        self, books: Books, desk: WebhookDesk, health: NextHealth, listed: ControlsList, options: Options
    ) -> None:
        self._books = books
        self._desk = desk
        self._health = health
        self._listed = listed
        self._options = options

    def routes(self, calls: list[Call]) -> list[web.RouteDef]:
        """Where they are, and a form for each call."""
        return [
            web.get("/", self.back_office),
            web.get("/style.css", self.style),
            web.get(customer_path("{id}"), self.customer),
            web.post("/customer/{id}/{action:complete|abandon}", self.customer_acts),
            *(web.post(FORMS + call.path, self._form(call)) for call in calls),
        ]

    async def back_office(self, request: web.Request) -> web.StreamResponse:
        """GET /: charges and controls, newest first."""
        require_own_host(request, self._options.address)
        return self._back_office(request)

    async def customer(self, request: web.Request) -> web.StreamResponse:
        """GET /sim/charges/{id}/complete: what ``next_action.url`` opens."""
        require_own_host(request, self._options.address)
        return self._customer(request.match_info["id"])

    async def customer_acts(self, request: web.Request) -> web.StreamResponse:
        """The customer's two buttons. What was decided meanwhile is shown."""
        require_own_form(request, self._options.address)
        charge_id = request.match_info["id"]
        try:
            self._books.customer(charge_id, completes=request.match_info["action"] == "complete")
        except NotPossible:
            return self._customer(charge_id, status=409)
        raise web.HTTPSeeOther(customer_path(charge_id))

    async def style(self, _: web.Request) -> web.StreamResponse:
        """GET /style.css."""
        return web.Response(body=_stylesheet(), content_type="text/css", charset="utf-8", headers=HEADERS)

    def _form(self, call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            require_own_form(request, self._options.address)
            body = await form(request, {**(call.fields or {}), **_PLACE})
            place = {name: body.pop(name) for name in _PLACE if name in body}
            try:
                call.carry_out(request.match_info, body)
            except NotPossible as error:
                return self._back_office(request, status=409, refused=str(error))
            query = {"charge": place["charge"]} if "charge" in place else {}
            raise web.HTTPSeeOther(request.url.with_path("/").with_query(query | {"done": place.get("button", "")}))

        return handle

    def _back_office(self, request: web.Request, *, status: int = 200, refused: str = "") -> web.Response:
        before, _ = page_of(request)
        self._books.late.catch_up()
        charge_id = request.query.get("charge")
        found = [*self._books.overview.newest(PAGE_CHARGES + 1, before=before or None, charge_id=charge_id)]
        shown = found[:PAGE_CHARGES]
        return _page(
            "back_office.html",
            status,
            options=self._options,
            webhooks=self._desk.state,
            health=self._health.view(),
            acquirer=calls_on_the_acquirer(sends=self._desk.state != "unsent"),
            charges=[(file, self._listed.controls(file)) for file in shown],
            one=charge_id is not None,
            older=shown[-1].place if len(found) > PAGE_CHARGES else None,
            done=_DOES.get(request.query.get("done", "")),
            refused=refused,
        )

    def _customer(self, charge_id: str, *, status: int = 200) -> web.Response:
        self._books.late.catch_up()
        charge = self._books.charge(charge_id)
        if charge["status"] not in _CUSTOMER:
            raise BadRequest("this payment asks nothing of its customer")
        shop = self._books.return_url(charge_id)
        return _page("customer.html", status, charge=charge, state=_CUSTOMER[charge["status"]], shop=shop)


def _page(template: str, status: int, **shown: Any) -> web.Response:
    text = _environment().get_template(template).render(shown)
    return web.Response(status=status, text=text, content_type="text/html", charset="utf-8", headers=HEADERS)


@cache
def _environment() -> Environment:
    """Whatever a template shows is escaped, and a name that is missing is an error."""
    made = Environment(
        loader=PackageLoader("tallystick.lab.acquirer"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(forms=FORMS, customer_path=customer_path)
    made.filters.update(
        money=wording.money,
        duration=wording.duration,
        clock_time=wording.clock_time,
        named=wording.named,
        arrival=wording.arrival,
    )
    return made


@cache
def _stylesheet() -> bytes:
    return files("tallystick.lab.acquirer").joinpath("templates", "style.css").read_bytes()
