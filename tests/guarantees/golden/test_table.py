"""The lives of ``table.py`` are what the test acquirer does: its own books, with every answer, look-up and event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    Notice,
    RefundNotice,
    ReportNotice,
    UnknownNotice,
    Unreadable,
)
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Declined, NotFound, RequiresAction, Unknown, Verdict
from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.events import ORIGINAL, SentRequest
from tallystick.lab.acquirer.options import Options, Webhooks
from tallystick.lab.acquirer.scripts import METHODS, behaviour
from tallystick.lab.acquirer.signing import signature
from tallystick.providers.simulator.calls import OperationBody, verdict_of
from tallystick.providers.simulator.receiver import SIGNATURE_HEADER, SimulatorReceiver
from tests.guarantees.golden.lives import Life, WrongLife, lines
from tests.guarantees.golden.table import LIVES

#: One of the acquirer's waits, and what is longer: its clock goes on only where a life says so.
WAIT_S: Final = 10
LONGER_S: Final = 11

#: The longest script has six steps.
STEPS_LIMIT: Final = 10

SECRET: Final = "whsec_golden"

OPTIONS: Final = Options(
    pending_ms=WAIT_S * 1_000,
    late_ms=WAIT_S * 1_000,
    webhooks=Webhooks(url="http://nowhere.invalid", secret=SECRET, retry_ms=(1,)),
)


class Time:
    """The acquirer's clock. It stands still."""

    def __init__(self) -> None:
        self.now_s = time.time()

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = Books(tmp_path / "books.sqlite", OPTIONS)
    yield books
    books.close()


class Watched(Life):
    """A life beside the acquirer's books: whatever it is told must be what they say."""

    def __init__(self, name: str, books: Books, clock: Time) -> None:
        super().__init__(name)
        self._method = name.partition(":")[0]
        self._books = books
        self._clock = clock
        self._charge = ""
        self._sent: set[tuple[str, int]] = set()
        self._answers: dict[str, Verdict] = {}
        self._heard: dict[str, int] = {}
        self._receiver = SimulatorReceiver("main", [SECRET])

    def play(self, line: str) -> None:
        verb, *words = line.split()
        if line.startswith("("):
            self._happens(*line.strip("()").split())
        elif verb == "answer":
            self._same(self._answers[self.attempt(words[0]).attempt_id], self.verdict(*words), line)
        elif verb in ("lookup", "operator") and words[1] != "unknown":
            call, word = words if words[0] != "hold" else ("authorize", words[1])
            self._same(self._looked_up(self.attempt(call)), self.verdict(call, word), line)
        elif verb == "webhook":
            self._tells(line.removeprefix("webhook ").partition(" -> ")[0])
        super().play(line)
        for attempt in self.stored.attempts:
            if (attempt.attempt_id, attempt.submissions) not in self._sent:
                self._sent.add((attempt.attempt_id, attempt.submissions))
                self._answers[attempt.attempt_id] = self._carried_out(attempt)

    def asked(self, attempt: Attempt, word: str) -> Verdict:
        said = super().asked(attempt, word)
        self._same(self._looked_up(attempt), said, word)
        return said

    def untold(self) -> list[Notice]:
        """What the acquirer tells, then or in the end, and the life leaves out."""
        for _ in range(STEPS_LIMIT):
            self._pass_on()
        return [notice for sequence, notice in self._events() if sequence not in self._heard.values()]

    def _carried_out(self, attempt: Attempt) -> Verdict:
        """As the acquirer's HTTP face does: book at most once for a key, and answer as the script says."""
        payload: dict[str, Any] = {"attempt_id": attempt.attempt_id, "amount": attempt.amount}
        what = behaviour(self._method, attempt.operation)
        if attempt.operation == "authorize":
            payload |= {"payment_id": attempt.payment_id, "merchant_id": attempt.merchant_id}
            payload |= {"currency": attempt.currency, "payment_method": self._method, "capture": attempt.capture}
        result = self._books.known(attempt.provider_key, payload)
        if result is None and what.executes:
            if attempt.operation == "authorize":
                result = self._books.authorize(attempt.provider_key, payload, what)
                self._charge = result["charge_id"]
            else:
                key = attempt.provider_key
                result = self._books.follow_up(attempt.operation, key, self._charge, payload, what)
        if result is None or what.answer in ("timeout", "reset", "error"):
            return Unknown(reason="no answer")
        return verdict_of(msgspec.convert(result, OperationBody), None)

    def _looked_up(self, attempt: Attempt) -> Verdict:
        found = self._books.lookup(attempt.attempt_id)
        return NotFound() if found is None else verdict_of(msgspec.convert(found, OperationBody), None)

    def _happens(self, act: str, *words: str) -> None:
        late = self._books.late
        match act:
            case "late":
                self._pass_on()
            case "complete" | "abandon":
                self._books.customer(self._charge, completes=act == "complete")
            case "dashboard_capture":
                late.dashboard_capture(self._charge)
            case "dashboard_refund":
                late.dashboard_refund(self._charge, int(words[0]))
            case "expire":
                late.expire(self._charge)
            case "fail":
                found = self._books.lookup(self.attempt(words[0]).attempt_id)
                assert found is not None
                late.fail(found["reference"])
            case "dispute":
                late.dispute(self._charge, int(words[0]) if words else None, None)
            case _:
                disputes = [notice for _, notice in self._events() if isinstance(notice, DisputeNotice)]
                late.dispute_step(disputes[-1].reference, act)

    def _pass_on(self) -> None:
        self._clock.now_s += LONGER_S
        self._books.late.catch_up()

    def _tells(self, said: str) -> None:
        """The acquirer has such an event; it is delivered. Said again in the same words it is the same event."""
        notice = self.notice(said)
        if repr(notice) in self._heard:
            return
        expected = _bare(notice)
        alike = [sequence for sequence, each in self._events() if _bare(each) == expected]
        unheard = [sequence for sequence in alike if sequence not in self._heard.values()]
        if not unheard:
            raise WrongLife(f"the acquirer does not say: {said}; it says {[_bare(each) for _, each in self._events()]}")
        self._heard[repr(notice)] = unheard[0]
        self._books.events.record([SentRequest(unheard[0], ORIGINAL, self._clock.now_s, 200, 1.0)], [1])

    def _events(self) -> list[tuple[int, Notice]]:
        """Everything in the book of events, as it is read at this end."""
        at = datetime.fromtimestamp(self._clock.now_s, UTC)
        read = []
        for sequence, body in self._books.events.chosen(0, None):
            [found] = self._receiver.receive(body, {SIGNATURE_HEADER: signature(SECRET, body, self._clock.now_s)}, at)
            assert found.notice is not None
            assert not isinstance(found.notice, Unreadable | ReportNotice)
            read.append((sequence, found.notice))
        return read

    def _same(self, theirs: Verdict, ours: Verdict, line: str) -> None:
        if _plain(theirs) != _plain(ours):
            raise WrongLife(f"{line}: the acquirer says {_plain(theirs)}")


def _plain(verdict: Any) -> Any:
    """A verdict without the acquirer's names and times."""
    if isinstance(verdict, Unknown):
        return Unknown(reason="")
    if isinstance(verdict, RequiresAction):
        verdict = replace(verdict, next_action={})
    if isinstance(verdict, Declined) and verdict.code == "refund_failed":
        verdict = replace(verdict, retryable=False)
    return replace(verdict, reference=None, occurred_at=None, raw=None)


def _bare(notice: Notice) -> Notice:
    """A notice without the acquirer's names and times."""
    match notice:
        case AttemptNotice() | ChargeNotice():
            bare: Any = replace(notice, verdict=_plain(notice.verdict))
            return replace(bare, reference=None) if isinstance(bare, AttemptNotice) else bare
        case RefundNotice() | CaptureNotice() | CancelOrRefundNotice():
            return replace(notice, reference="", occurred_at=None)
        case UnknownNotice():
            return notice
        case DisputeNotice():
            moved = tuple(replace(each, reference="") for each in notice.movements or ())
            return replace(notice, reference="", occurred_at=None, movements=moved)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LIVES)
def test_the_acquirer_does_and_says_so(name: str, books: Books, clock: Time) -> None:
    life = Watched(name, books, clock)
    for line in lines(LIVES[name]):
        life.play(line)
    untold = life.untold()
    assert untold == [] or name.startswith("sim_webhook_lost:"), untold


def test_every_script_has_a_life() -> None:
    assert {name.partition(":")[0] for name in LIVES} == METHODS
