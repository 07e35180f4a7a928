"""One cell brought about: what it starts from, the instruction, and what is seen of it, step by step."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tallystick.contract.fault_table import Answer
from tallystick.domain.provider_keys import provider_key
from tests.guarantees.fault_table.process import ApiProcess
from tests.guarantees.fault_table.stands import METHODS
from tests.support.faulty_proxy import Passage
from tests.support.letters import new_letters

#: The client's key of every instruction under test.
KEY: Final = "the-key"

#: Instruction -> the operation at the provider.
OPERATIONS: Final = {"create": "authorize", "capture": "capture", "cancel": "cancel", "refund": "refund"}


@dataclass
class Seen:
    """The stored state, and what the same request gets."""

    answer: httpx.Response
    end: str
    records: tuple[str, ...]
    state: str  # of the attempt: "" without one
    parked: bool
    key_taken: bool
    passages: int


@dataclass
class Trial:
    """One cell. Each has a merchant of its own."""

    instruction: str
    provider: str
    fault: str
    currency: str = "EUR"
    amount: int = 1_000
    part: int | None = None  # of a capture or refund; None: all of it
    merchant_id: str = field(default_factory=lambda: f"c{new_letters(16)}")
    api_key: str = ""
    payment_id: str | None = None
    reference: str | None = None
    earlier: int = 0  # requests with the provider's key that were not this instruction's
    sent: int = 0
    first: httpx.Response | None = None
    first_state: str = ""
    before: Seen | None = None
    after: Seen | None = None
    key_after: str = ""
    told: list[str] = field(default_factory=list)
    unharmed: str = ""  # what a stranger's payment came to
    circuit: str = ""  # of the provider that the stranger paid with
    attempt_id: str = ""

    @property
    def cell(self) -> tuple[str, str, str]:
        return self.instruction, self.provider, self.fault

    @property
    def provider_key(self) -> str:
        """What the provider knows the instruction's first request by."""
        return provider_key(self.merchant_id, KEY, OPERATIONS[self.instruction], 1)

    def passages(self, process: ApiProcess) -> list[Passage]:
        """This instruction's requests that left for the provider."""
        return process.stands.passed(self.provider, self.provider_key)[self.earlier :]

    async def prepare(self, process: ApiProcess) -> None:
        """What the instruction acts on: nothing, a hold, or captured money."""
        if self.instruction != "create":
            made = await self.start(process, "first")
            self.payment_id, self.reference = made["id"], made["provider_reference"]

    async def start(self, process: ApiProcess, key: str) -> dict[str, Any]:
        """A payment that an instruction of this kind can act on."""
        method = "automatic" if self.instruction == "refund" else "manual"
        answer = await process.pay(
            self.api_key, self.provider, key, amount=self.amount, currency=self.currency, capture_method=method
        )
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        assert made["state"] == ("captured" if self.instruction == "refund" else "authorized"), made
        return made

    async def send(self, process: ApiProcess) -> httpx.Response:
        """The instruction: the same bytes under the same key each time."""
        if self.instruction == "create":
            body = {"amount": self.amount, "currency": self.currency, "provider": self.provider}
            return await process.post(self.api_key, "/v1/payments", KEY, body | {"payment_method": self.method})
        what = {"refund": "refunds"}.get(self.instruction, self.instruction)
        part = {} if self.part is None else {"amount": self.part}
        return await process.post(self.api_key, f"/v1/payments/{self.payment_id}/{what}", KEY, part)

    @property
    def method(self) -> str:
        return METHODS[self.provider]

    async def instruct(self, process: ApiProcess) -> None:
        """Send it for the first time."""
        self.first = await self.send(process)
        self.sent = len(self.passages(process))
        self.first_state = (await self.stored(process))[1]

    async def look(self, process: ApiProcess) -> Seen:
        """Ask again, and read the record."""
        answer = await self.send(process)
        records, state, parked, taken = await self.stored(process)
        passages = len(self.passages(process))
        return Seen(answer, f"{answer.status_code} {outcome(answer)}", records, state, parked, taken, passages)

    async def look_before(self, process: ApiProcess) -> None:
        """When recovery has nothing to do any more."""
        self.before = await self.look(process)

    async def look_after(self, process: ApiProcess, told: list[str]) -> None:
        """When everything has arrived that may; ``told``: what became of the provider's events."""
        assert self.before is not None
        self.told = told
        await self.ask_for_the_key(process)
        self.after = await self.look(process)
        assert self.after.passages == self.before.passages, "nothing more was sent"

    async def ask_for_the_key(self, process: ApiProcess) -> None:
        """Another request with the same key: refused for its fields where the key is free."""
        answer = await process.post(self.api_key, "/v1/payments", KEY, {"amount": 0})
        codes = {"idempotency_key_reused": "taken", "validation_failed": "free"}
        self.key_after = codes[answer.json()["code"]]

    async def stored(self, process: ApiProcess) -> tuple[tuple[str, ...], str, bool, bool]:
        """The records of this instruction, and its attempt's state."""
        fetch = process.runtime.pool.fetch
        mine = "merchant_id = $1 AND idempotency_key = $2"
        attempts = await fetch(f"SELECT * FROM attempt WHERE {mine}", self.merchant_id, KEY)
        attempt = attempts[0] if attempts else None
        payment_id = self.payment_id or (attempt["payment_id"] if attempt else None)
        found = await fetch("SELECT state FROM payment WHERE payment_id = $1", payment_id)
        records = [f"payment {row['state']}" for row in found]
        if attempt is None:
            assert not await fetch("SELECT 1 FROM refund WHERE payment_id = $1", payment_id)
            return tuple(records), "", False, False
        if attempt["refund_id"] is not None:
            rows = await fetch("SELECT state FROM refund WHERE refund_id = $1", attempt["refund_id"])
            records += [f"refund {row['state']}" for row in rows]
        self.attempt_id = attempt["attempt_id"]
        parked, taken = attempt["parked_at"] is not None, attempt["key_taken"]
        marks = [mark for mark, holds in (("key taken", taken), ("parked", parked)) if holds]
        records.append(", ".join([f"attempt {attempt['state']}", *marks]))
        return tuple(records), attempt["state"], parked, taken

    def observed(self, alerts: list[MutableMapping[str, Any]]) -> Answer:
        """The cell as it came about, in the table's terms."""
        assert self.first is not None and self.before is not None and self.after is not None
        end = self.before if self.before.parked else self.after
        code = None if self.first.is_success else outcome(self.first)
        return Answer(
            status=self.first.status_code,
            code=code,
            sent=self.sent,
            in_all=self.before.passages,
            key=self.key_after,  # type: ignore[arg-type]  # compared with the table's
            end=end.end,
            records=end.records,
            arrives=self._arrived(),  # type: ignore[arg-type]  # compared with the table's
            acts=self._acted(alerts),  # type: ignore[arg-type]  # compared with the table's
        )

    def _arrived(self) -> str:
        assert self.before is not None and self.after is not None
        was_final, is_final = (each.answer.status_code != 202 for each in (self.before, self.after))
        if self.before.passages == 0:
            return "nothing"
        if was_final:
            assert self.before.answer.content == self.after.answer.content, "the recorded answer is kept"
            return "a repetition" if self.told else "nothing was told"
        if is_final:
            return "the outcome, late" if self.before.parked else "the decision"
        return "another attempt's outcome" if self.before.key_taken and self.told else "nothing that settles it"

    def _acted(self, alerts: list[MutableMapping[str, Any]]) -> str:
        assert self.first is not None and self.before is not None and self.after is not None
        if not self.before.state:
            waits = self.first.status_code == 503
            event = "provider of a payment is not configured"
            said = [line for line in alerts if (line["event"], line.get("provider")) == (event, self.provider)]
            return ("an operator, then the client" if said else "nobody knows") if waits else "the client"
        if self.first.status_code != 202:
            assert self.first.content == self.before.answer.content, "the recorded answer is replayed"
            return "nobody"
        if self.before.parked:
            said = [line for line in alerts if line.get("attempt_id") == self.attempt_id]
            assert [line["event"] for line in said] == ["attempt is in doubt"], said
            return "recovery, then an operator"
        if self.before.answer.status_code != 202:
            return "recovery"
        if self.before.state != "pending" or self.after.answer.status_code == 202:
            return "nobody, for ever"
        return "the provider" if self.first_state == "pending" else "recovery, then the provider"


def outcome(answer: httpx.Response) -> str:
    """The state that an answer shows, or its code, with the field and its code where a field is refused."""
    body = answer.json()
    if "code" not in body:
        return str(body["state"])
    fields = [f"{each['field']} {each['code']}" for each in body.get("errors", [])]
    return " ".join([body["code"], *fields])
