"""The acquirer's back office, for tests, drills and people: events without the merchant, and the webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from aiohttp import web

from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.burst import Burst, BurstOptions
from tallystick.lab.acquirer.health import CALLS_LIMIT, NEXT, NextHealth
from tallystick.lab.acquirer.late import OUTCOMES
from tallystick.lab.acquirer.options import Webhooks
from tallystick.lab.acquirer.requests import BadRequest, answer, page_answer, page_of, payload
from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.sender import Sender

#: More connections than a receiver needs, fewer than a process may open.
CONNECTIONS_LIMIT: Final = 512

#: Event ids that one request can name.
IDS_LIMIT: Final = 10_000

#: Members of a burst that are shares of its events.
SHARES: Final = ("duplicates", "shuffle", "forged")


class Call(NamedTuple):
    """One control as a call. ``fields``: what its body may have; None: a body is not read. ``carry_out``: the names in
    the path and the body -> status and answer. It raises BadRequest, Missing and NotPossible."""

    path: str
    fields: Mapping[str, type] | None
    carry_out: Callable[[Mapping[str, str], dict[str, Any]], tuple[int, dict[str, Any]]]


def routes_of(calls: Iterable[Call]) -> list[web.RouteDef]:
    """The calls as they are made by programs."""
    return [web.post(call.path, _called(call)) for call in calls]


def _called(call: Call) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = {} if call.fields is None else await payload(request, {}, call.fields)
        return answer(*call.carry_out(request.match_info, body))

    return handle


class BackOffice:
    """Calls over the books' ``late``: each makes one thing happen now."""

    def __init__(self, books: Books, health: NextHealth) -> None:
        self._books = books
        self._health = health

    def calls(self) -> list[Call]:
        """Every control about charges, disputes and operations, and the acquirer's health."""
        return [
            Call("/sim/charges/{id}/{action:complete|abandon}", None, self._customer),
            Call("/sim/charges/{id}/{action:dashboard-capture|expire|late-capture}", None, self._charge),
            Call("/sim/charges/{id}/dashboard-refund", {"amount": int}, self._dashboard_refund),
            Call("/sim/charges/{id}/dispute", {"amount": int, "outcome": str}, self._dispute),
            Call("/sim/disputes/{id}/{step:withdraw|return|review|win|lose}", None, self._dispute_step),
            Call("/sim/operations/{reference}/fail", None, self._fail),
            Call("/sim/health", {"next": str, "calls": int}, self._next_health),
        ]

    def routes(self) -> list[web.RouteDef]:
        """What can be looked at."""
        return [
            web.get("/sim/health", self.health),
            web.get("/sim/events", self.events),
            web.get("/sim/webhooks/deliveries", self.deliveries),
        ]

    def _customer(self, names: Mapping[str, str], _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The customer completes the action that was asked for, or leaves."""
        return 200, self._books.customer(names["id"], completes=names["action"] == "complete")

    def _charge(self, names: Mapping[str, str], _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """The dashboard captures, the hold expires, or a declined charge is captured all the same."""
        late = self._books.late
        late.catch_up()
        does = {"dashboard-capture": late.dashboard_capture, "expire": late.expire, "late-capture": late.late_capture}
        return 200, does[names["action"]](names["id"])

    def _dashboard_refund(self, names: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``{amount?}``: the dashboard refunds."""
        self._books.late.catch_up()
        return 200, self._books.late.dashboard_refund(names["id"], body.get("amount"))

    def _dispute(self, names: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``{amount?, outcome?}``: the payer disputes; with an outcome the steps to it follow by themselves."""
        outcome = body.get("outcome")
        if outcome is not None and outcome not in OUTCOMES:
            raise BadRequest(f"outcome is one of {', '.join(OUTCOMES)}")
        self._books.late.catch_up()
        return 200, self._books.late.dispute(names["id"], body.get("amount"), outcome)

    def _dispute_step(self, names: Mapping[str, str], _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A dispute's next step."""
        return 200, self._books.late.dispute_step(names["id"], names["step"])

    def _fail(self, names: Mapping[str, str], _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """An approved refund or capture fails late."""
        self._books.late.catch_up()
        return 200, self._books.late.fail(names["reference"])

    def _next_health(self, _: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``{next, calls?}``: what the next instructions meet."""
        if body.get("next") not in NEXT:
            raise BadRequest(f"next is one of {', '.join(NEXT)}")
        if not 1 <= body.get("calls", 1) <= CALLS_LIMIT:
            raise BadRequest(f"calls are 1 to {CALLS_LIMIT}")
        self._health.set(body["next"], body.get("calls", 1))
        return 200, self._health.view()

    async def health(self, _: web.Request) -> web.StreamResponse:
        """What the next instruction meets."""
        return answer(200, self._health.view())

    async def events(self, request: web.Request) -> web.StreamResponse:
        """All events."""
        after, limit = page_of(request)
        return page_answer(*self._books.events.page(after, limit, request.query.get("payment_id")))

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        """Every request sent with an event."""
        after, limit = page_of(request)
        return page_answer(*self._books.events.deliveries(after, limit))


class WebhookDesk:
    """Calls over the sender. Without one, where there is nowhere to send, each is a 409."""

    def __init__(self, books: Books, webhooks: Webhooks | None) -> None:
        self._books = books
        self._webhooks = webhooks
        self._burst: Burst | None = None
        self._burst_task: asyncio.Task[None] | None = None
        self.sender: Sender | None = None

    @property
    def state(self) -> str:
        """What becomes of an event: sent | paused | unsent (there is nowhere to send it)."""
        if self._webhooks is None or self.sender is None:
            return "unsent"
        return "paused" if self.sender.paused else "sent"

    def calls(self) -> list[Call]:
        """Every control about webhooks."""
        shares = dict.fromkeys(SHARES, float)
        resent = {"since": int, "ids": list, "connections": int, "seed": int, **shares}
        return [
            Call("/sim/webhooks/{action:pause|resume}", None, self._pause),
            Call("/sim/webhooks/resend", resent, self._resend),
        ]

    def routes(self) -> list[web.RouteDef]:
        """What can be looked at."""
        return [web.get("/sim/webhooks/report", self.report)]

    def _pause(self, names: Mapping[str, str], _: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Events stay in the books until they are resumed, or sent in a burst."""
        sender = self._sender()
        if names["action"] == "pause":
            sender.pause()
        else:
            sender.resume()
        return 200, {"paused": sender.paused}

    def _resend(self, _: Mapping[str, str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """``{since?, ids?, duplicates?, shuffle?, forged?, connections?, seed?}``: a burst of the events after a
        sequence number, or of those named. 202 with its report so far; ``report`` has it in the end."""
        sender = self._sender()
        if self._burst is not None and not self._burst.done:
            raise NotPossible("burst_under_way")
        if not all(0 <= body.get(share, 0) <= 1 for share in SHARES):
            raise BadRequest("shares are 0 to 1")
        if not (1 <= body.get("connections", 1) <= CONNECTIONS_LIMIT and 0 <= body.get("since", 0) < 2**63):
            raise BadRequest(f"connections are 1 to {CONNECTIONS_LIMIT}")
        assert self._webhooks is not None
        options = BurstOptions(
            duplicates=body.get("duplicates", 0),
            shuffled=body.get("shuffle", 0),
            forged=body.get("forged", 0),
            connections=body.get("connections", self._webhooks.connections),
            seed=body.get("seed", 0),
        )
        chosen = self._books.events.chosen(body.get("since", 0), _ids(body.get("ids")))
        self._burst = Burst(sender.courier, self._webhooks, chosen, options)
        self._burst_task = asyncio.create_task(self._burst.run())
        return 202, self._burst.report()

    async def report(self, _: web.Request) -> web.StreamResponse:
        """The newest burst: how many of each kind, what they were answered, and how quickly."""
        if self._burst is None:
            raise NotPossible("no_burst_yet")
        return answer(200, self._burst.report())

    async def close(self) -> None:
        """End what is under way."""
        if self._burst_task is not None:
            self._burst_task.cancel()
            await asyncio.gather(self._burst_task, return_exceptions=True)
        if self.sender is not None:
            await self.sender.close()

    def _sender(self) -> Sender:
        if self.sender is None:
            raise NotPossible("no_webhook_url")
        return self.sender


def _ids(given: list[Any] | None) -> list[str] | None:
    if given is not None and not (len(given) <= IDS_LIMIT and all(isinstance(each, str) for each in given)):
        raise BadRequest(f"ids are at most {IDS_LIMIT} event ids")
    return given
