"""The acquirer's back office, for tests, drills and people: events without the merchant, and the webhooks."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.burst import Burst, BurstOptions
from tallystick.lab.acquirer.late import OUTCOMES
from tallystick.lab.acquirer.options import Webhooks
from tallystick.lab.acquirer.requests import BadRequest, answer, page_answer, page_of, payload
from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.sender import Sender

#: More connections than a receiver needs, fewer than a process may open.
CONNECTIONS_LIMIT: Final = 512

#: Event ids that one request can name.
IDS_LIMIT: Final = 10_000


class BackOffice:
    """Handlers over the books' ``late``: each makes one thing happen now."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
        return [
            web.post("/sim/charges/{id}/{action:complete|abandon}", self.customer),
            web.post("/sim/charges/{id}/{action:dashboard-capture|expire|late-capture}", self.charge),
            web.post("/sim/charges/{id}/dashboard-refund", self.dashboard_refund),
            web.post("/sim/charges/{id}/dispute", self.dispute),
            web.post("/sim/disputes/{id}/{step:withdraw|return|review|win|lose}", self.dispute_step),
            web.post("/sim/operations/{reference}/fail", self.fail),
            web.get("/sim/events", self.events),
            web.get("/sim/webhooks/deliveries", self.deliveries),
        ]

    async def customer(self, request: web.Request) -> web.StreamResponse:
        """The customer completes the action that was asked for, or leaves."""
        completes = request.match_info["action"] == "complete"
        return answer(200, self._books.customer(request.match_info["id"], completes=completes))

    async def charge(self, request: web.Request) -> web.StreamResponse:
        """The dashboard captures, the hold expires, or a declined charge is captured all the same."""
        self._books.late.catch_up()
        charge_id = request.match_info["id"]
        match request.match_info["action"]:
            case "dashboard-capture":
                return answer(200, self._books.late.dashboard_capture(charge_id))
            case "expire":
                return answer(200, self._books.late.expire(charge_id))
        return answer(200, self._books.late.late_capture(charge_id))

    async def dashboard_refund(self, request: web.Request) -> web.StreamResponse:
        """``{amount?}``: the dashboard refunds."""
        body = await payload(request, {}, {"amount": int})
        self._books.late.catch_up()
        return answer(200, self._books.late.dashboard_refund(request.match_info["id"], body.get("amount")))

    async def dispute(self, request: web.Request) -> web.StreamResponse:
        """``{amount?, outcome?}``: the payer disputes; with an outcome the steps to it follow by themselves."""
        body = await payload(request, {}, {"amount": int, "outcome": str})
        outcome = body.get("outcome")
        if outcome is not None and outcome not in OUTCOMES:
            raise BadRequest(f"outcome is one of {', '.join(OUTCOMES)}")
        self._books.late.catch_up()
        return answer(200, self._books.late.dispute(request.match_info["id"], body.get("amount"), outcome))

    async def dispute_step(self, request: web.Request) -> web.StreamResponse:
        """A dispute's next step."""
        return answer(200, self._books.late.dispute_step(request.match_info["id"], request.match_info["step"]))

    async def fail(self, request: web.Request) -> web.StreamResponse:
        """An approved refund or capture fails late."""
        self._books.late.catch_up()
        return answer(200, self._books.late.fail(request.match_info["reference"]))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """All events."""
        after, limit = page_of(request)
        return page_answer(*self._books.events.page(after, limit, request.query.get("payment_id")))

    async def deliveries(self, request: web.Request) -> web.StreamResponse:
        """Every request sent with an event."""
        after, limit = page_of(request)
        return page_answer(*self._books.events.deliveries(after, limit))


class WebhookDesk:
    """Handlers over the sender. Without one, where there is nowhere to send, each is a 409."""

    def __init__(self, books: Books, webhooks: Webhooks | None) -> None:
        self._books = books
        self._webhooks = webhooks
        self._burst: Burst | None = None
        self._burst_task: asyncio.Task[None] | None = None
        self.sender: Sender | None = None

    def routes(self) -> list[web.RouteDef]:
        """Where they are."""
        return [
            web.post("/sim/webhooks/{action:pause|resume}", self.pause),
            web.post("/sim/webhooks/resend", self.resend),
            web.get("/sim/webhooks/report", self.report),
        ]

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Events stay in the books until they are resumed, or sent in a burst."""
        sender = self._sender()
        if request.match_info["action"] == "pause":
            sender.pause()
        else:
            sender.resume()
        return answer(200, {"paused": sender.paused})

    async def resend(self, request: web.Request) -> web.StreamResponse:
        """``{since?, ids?, duplicates?, shuffle?, forged?, connections?, seed?}``: a burst of the events after a
        sequence number, or of those named. 202 with its report so far; ``report`` has it in the end."""
        shares = {"duplicates": float, "shuffle": float, "forged": float}
        fields = {"since": int, "ids": list, "connections": int, "seed": int, **shares}
        body = await payload(request, {}, fields)
        sender = self._sender()
        if self._burst is not None and not self._burst.done:
            raise NotPossible("burst_under_way")
        if not all(0 <= body.get(share, 0) <= 1 for share in shares):
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
        return answer(202, self._burst.report())

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
