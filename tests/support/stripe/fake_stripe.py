"""A Stripe in the test's own process, with a clock of its own and books that can be read: what localstripe cannot do.

It knows idempotency keys (unless ``deduplicates`` is off), as Stripe documents them: the same key and parameters give
the first answer again, other parameters are ``idempotency_error``, a key whose request is under way is
``idempotency_key_in_use``. ``clock_ms`` shifts its clock, which ``created`` and the ``Date`` of answers show.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

#: Path and page of a list -> what it answers in place of the truth; None for the truth.
ListScript = Callable[[int, dict[str, Any]], bytes | None]

#: Request, parts of its path, body -> the answer to whatever is about reports.
Reporting = Callable[[web.BaseRequest, list[str], str], web.StreamResponse]


class FakeStripe:
    """Books and switches. ``lose``: so many answers to calls that move money are not given, though the effect stands.
    ``refuse``: so many of them are broken off before anything happens. ``lists`` answers pages of lists.
    ``refuses_questions``: the status that answers every GET."""

    def __init__(self, *, deduplicates: bool, clock_ms: int = 0) -> None:
        self.deduplicates = deduplicates
        self.clock_ms = clock_ms
        self.lose = 0
        self.refuse = 0
        self.lists: ListScript | None = None
        self.keys_in_use: set[str] = set()
        self.intents: list[dict[str, Any]] = []
        self.refunds: list[dict[str, Any]] = []
        self.charges: list[dict[str, Any]] = []
        self.disputes: list[dict[str, Any]] = []
        self.refuses_questions: int | None = None
        self.reporting: Reporting | None = None
        self.posts: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.url = ""
        self._answers: dict[str, tuple[str, int, dict[str, Any]]] = {}

    def now_s(self) -> float:
        return time.time() + self.clock_ms / 1000

    def of_payment(self, payment_id: str) -> list[dict[str, Any]]:
        """The PaymentIntents of a payment, the oldest first."""
        return [each for each in self.intents if each["metadata"].get("tallystick_payment") == payment_id]

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Every request there is."""
        parts = request.path.removeprefix("/v1/").split("/")
        if self.reporting is not None and parts[0] in ("reporting", "files"):
            return self.reporting(request, parts, await request.text())
        if request.method == "GET":
            return self._get(parts, dict(request.query))
        if self.refuse > 0:
            self.refuse -= 1
            return self._broken(request)
        body = await request.text()
        key = request.headers.get("Idempotency-Key", "")
        self.posts.append(request.path)
        status, answer = self._once(key, f"{request.path}?{body}", lambda: self._post(parts, _form(body)))
        if self.lose > 0 and status == 200:
            self.lose -= 1
            return self._broken(request)
        return self._json(status, answer)

    def _broken(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _once(self, key: str, asked: str, do: Callable[[], tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any]]:
        if not self.deduplicates:
            return do()
        if key in self.keys_in_use:
            return 409, _error("invalid_request_error", "Another request uses this key.", "idempotency_key_in_use")
        if key in self._answers:
            first, status, answer = self._answers[key]
            if first != asked:
                return 400, _error("idempotency_error", "Keys can only be used with the same parameters.")
            return status, answer
        status, answer = do()
        self._answers[key] = (asked, status, json.loads(json.dumps(answer)))
        return status, answer

    def _post(self, parts: list[str], said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match parts:
            case ["payment_intents"]:
                return 200, self._create(said)
            case ["refunds"]:
                return 200, self.make_refund(said)
            case ["payment_intents", reference, "capture"]:
                return self._follow(reference, "succeeded", int(said["amount_to_capture"]))
            case ["payment_intents", reference, "cancel"]:
                return self._follow(reference, "canceled", 0)
        return 404, _error("invalid_request_error", "no such path", "resource_missing")

    def _create(self, said: dict[str, Any]) -> dict[str, Any]:
        manual, amount = said["capture_method"] == "manual", int(said["amount"])
        made = {
            "id": f"pi_{uuid.uuid4().hex}",
            "object": "payment_intent",
            "status": "requires_capture" if manual else "succeeded",
            "amount": amount,
            "amount_received": 0 if manual else amount,
            "amount_capturable": amount if manual else 0,
            "currency": said["currency"],
            "created": int(self.now_s()),
            "metadata": said["metadata"],
        }
        self.intents.append(made)
        return made

    def _follow(self, reference: str, status: str, amount: int) -> tuple[int, dict[str, Any]]:
        [intent] = [each for each in self.intents if each["id"] == reference]
        if intent["status"] != "requires_capture":
            problem = _error("invalid_request_error", "unexpected state", "payment_intent_unexpected_state")
            problem["error"]["payment_intent"] = intent
            return 400, problem
        canceled_at = int(self.now_s()) if status == "canceled" else None
        intent.update(status=status, amount_received=amount, amount_capturable=0, canceled_at=canceled_at)
        return 200, intent

    def make_refund(self, said: dict[str, Any]) -> dict[str, Any]:
        """A refund, whoever asked for it."""
        made = {
            "id": f"re_{uuid.uuid4().hex}",
            "object": "refund",
            "status": "succeeded",
            "amount": int(said["amount"]),
            "currency": next(each["currency"] for each in self.intents if each["id"] == said["payment_intent"]),
            "created": int(self.now_s()),
            "payment_intent": said["payment_intent"],
            "balance_transaction": f"txn_{uuid.uuid4().hex}",
            "reason": None,
            "metadata": said["metadata"],
        }
        self.refunds.append(made)
        return made

    def _get(self, parts: list[str], query: dict[str, str]) -> web.StreamResponse:
        self.queries.append(query)
        if self.refuses_questions is not None:
            return self._json(self.refuses_questions, _error("api_error", "not now"))
        kept = {"payment_intents": self.intents, "refunds": self.refunds, "charges": self.charges}[parts[0]]
        if len(parts) > 1:
            found = [each for each in kept if each["id"] == parts[1]]
            return self._json(200, found[0]) if found else self._json(404, _error("invalid_request_error", "none"))
        newest_first = [each for each in reversed(kept) if _matches(each, query)]
        ids = [each["id"] for each in newest_first]
        start = ids.index(query["starting_after"]) + 1 if "starting_after" in query else 0
        limit = int(query.get("limit", 10))
        page = {
            "object": "list",
            "url": f"/v1/{parts[0]}",
            "data": newest_first[start : start + limit],
            "has_more": len(newest_first) > start + limit,
        }
        scripted = None if self.lists is None else self.lists(start, page)
        return self._json(200, page) if scripted is None else self._answer(200, scripted)

    def _json(self, status: int, body: dict[str, Any]) -> web.Response:
        return self._answer(status, json.dumps(body).encode())

    def _answer(self, status: int, body: bytes) -> web.Response:
        headers = {"Date": formatdate(self.now_s(), usegmt=True), "Request-Id": "req_fake"}
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _matches(thing: dict[str, Any], query: dict[str, str]) -> bool:
    at_least, at_most = int(query.get("created[gte]", 0)), int(query.get("created[lte]", 2**40))
    about = query.get("payment_intent")
    return at_least <= thing["created"] <= at_most and about in (None, thing.get("payment_intent"))


def _error(kind: str, message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message} | ({} if code is None else {"code": code})}


def _form(body: str) -> dict[str, Any]:
    said: dict[str, Any] = {"metadata": {}}
    for name, value in parse_qsl(body):
        if name.startswith("metadata["):
            said["metadata"][name[9:-1]] = value
        else:
            said[name] = value
    return said


@asynccontextmanager
async def fake_stripe(*, deduplicates: bool, clock_ms: int = 0) -> AsyncIterator[FakeStripe]:
    """A running one, on loopback."""
    fake = FakeStripe(deduplicates=deduplicates, clock_ms=clock_ms)
    server = web.Server(fake.respond)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        listening.close()
        await server.shutdown(timeout=0.1)
