"""The page on retries names every answer of an instruction, and its code does what its table says."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import httpx
import pytest

from tallystick.domain.errors import ERRORS, problem
from tallystick.domain.views import encode
from tallystick.interfaces.api.instruction import ON_PAYMENT
from tests.support import retries_guide
from tests.support.retries_guide import GUIDE, blocks

#: What an instruction can be refused with.
OF_INSTRUCTIONS: Final = [code for code in ERRORS if code in ON_PAYMENT]

REFUSING: Final = [code for code in OF_INSTRUCTIONS if not ERRORS[code].retryable]

Answer = tuple[int, bytes, dict[str, str]]

CAPTURED: Final[Answer] = (201, b'{"object": "payment", "state": "captured"}', {})

#: A wait is random up to this, beside ``Retry-After``.
LONGEST_RANDOM_WAIT_S: Final = 8


@functools.cache  # httpx loads certificates, which takes longer than a test
def _names() -> dict[str, Any]:
    return retries_guide.client("http://tallystick.test", "key")


def refusal(code: str, **headers: str) -> Answer:
    return ERRORS[code].status, encode(problem(code, "for a test")), headers


class Page:
    """The page's client, on a network and with a clock of the test's own. An answer that is None is lost."""

    def __init__(self, *answers: Answer | None) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.waits: list[float] = []
        self._answers: Iterator[Answer | None] = iter(answers)
        names = _names()
        names["api"] = httpx.Client(transport=httpx.MockTransport(self._answer), base_url="http://tallystick.test")
        names["time"] = SimpleNamespace(monotonic=lambda: sum(self.waits), sleep=self.waits.append)
        self._names = names

    def create(self, *, sent_before: bool = False, patience_s: float = 60) -> tuple[str, str, dict[str, Any]]:
        """The outcome, what the shopper sees, and what was said."""
        outcome, said = self._names["instruct"]("/v1/payments", "order-1", b"{}", sent_before, patience_s)
        return outcome, self._names["shown"](outcome, said), said

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.headers["Idempotency-Key"], request.content))
        answer = next(self._answers, None)
        if answer is None:
            raise httpx.ReadTimeout("lost")
        status, content, headers = answer
        return httpx.Response(status, content=content, headers=headers)


def test_every_error_code_has_its_row_or_belongs_to_no_instruction() -> None:
    rows = retries_guide.rows()
    assert list(rows) == sorted(OF_INSTRUCTIONS, key=lambda code: ERRORS[code].status)  # found by status
    assert {code: row.status for code, row in rows.items()} == {code: ERRORS[code].status for code in rows}
    others = retries_guide.text().partition("Codes that no instruction gets: ")[2].partition(".")[0]
    assert [code.strip().strip("`") for code in others.split(",")] == [code for code in ERRORS if code not in rows]


@pytest.mark.parametrize("code", OF_INSTRUCTIONS)
def test_a_row_says_what_its_code_promises(code: str) -> None:
    row, kind = retries_guide.rows()[code], ERRORS[code]
    assert row.client.startswith("again") == kind.retryable
    if code != "instruction_in_flight":  # which speaks of the first request
        assert row.happened.startswith("unknown" if kind.outcome == "unknown" else "nothing")
    assert ("checking" in row.shopper) == (kind.retryable or code == "idempotency_key_reused")


@pytest.mark.parametrize("code", OF_INSTRUCTIONS)
def test_the_client_does_what_the_row_says(code: str) -> None:
    page = Page(refusal(code), CAPTURED)
    outcome, shown, said = page.create()
    if retries_guide.rows()[code].client.startswith("again"):
        assert (outcome, shown) == ("final", "paid")
        assert page.sent == [("order-1", b"{}")] * 2
    else:
        assert said["code"] == code
        assert outcome == ("person" if code == "idempotency_key_reused" else "refused")
        assert ("checking" in shown) == (code == "idempotency_key_reused")
        assert len(page.sent) == 1


NOT_FINAL: Final[dict[str, Answer | None]] = {
    "lost": None,
    "a proxy's page": (502, b"<p>Bad Gateway</p>", {}),
    "a proxy's refusal": (404, b'{"message": "no such route"}', {}),
    "a list": (200, b"[]", {}),
    "a proxy's status": (200, b'{"state": "up"}', {}),
    "a proxy's problem": (502, b'{"object": "error", "retryable": false}', {}),
    "a refusal that is not certain": (503, b'{"retryable": true, "outcome": "of a later release"}', {}),
    "202": (202, b'{"object": "payment", "state": "authorizing", "next_action": null}', {"Retry-After": "2"}),
    "in flight": refusal("instruction_in_flight"),
}


@pytest.mark.parametrize("code", REFUSING)
def test_a_refusal_after_an_open_answer_ends_nothing(code: str) -> None:
    outcomes = {before: Page(answer, refusal(code)).create()[0] for before, answer in NOT_FINAL.items()}
    assert set(outcomes.values()) == {"refused" if ERRORS[code].outcome == "executed" else "person"}, outcomes


@pytest.mark.parametrize("code", REFUSING)
def test_a_refusal_of_a_later_call_ends_nothing(code: str) -> None:
    outcome, shown, _ = Page(refusal(code)).create(sent_before=True)
    ended = ERRORS[code].outcome == "executed"
    assert (outcome, "checking" in shown) == (("refused", False) if ended else ("person", True))


def test_a_refusal_of_a_later_release_that_may_have_been_carried_out_is_for_a_person() -> None:
    assert Page((422, b'{"code": "new", "retryable": false, "outcome": "unknown"}', {})).create()[0] == "person"
    assert Page((422, b'{"code": "new", "retryable": false, "outcome": "not_executed"}', {})).create()[0] == "refused"


def test_a_final_answer_ends_a_later_call_too() -> None:
    assert Page(CAPTURED).create(sent_before=True)[:2] == ("final", "paid")


@pytest.mark.parametrize("answer", NOT_FINAL)
def test_what_is_not_final_is_asked_again_with_the_same_key(answer: str) -> None:
    page = Page(NOT_FINAL[answer], CAPTURED)
    assert page.create()[:2] == ("final", "paid")
    assert page.sent == [("order-1", b"{}")] * 2


def test_after_a_minute_the_shopper_is_told_that_it_is_being_checked() -> None:
    page = Page()
    assert page.create() == ("checking", "we are checking your payment", {})
    assert set(page.sent) == {("order-1", b"{}")}
    assert 60 - LONGEST_RANDOM_WAIT_S <= sum(page.waits) <= 60
    assert max(page.waits) <= LONGEST_RANDOM_WAIT_S


def test_the_client_waits_as_it_is_asked_to() -> None:
    page = Page(refusal("rate_limited", **{"Retry-After": "7"}), refusal("overloaded"), CAPTURED)
    assert page.create()[0] == "final"
    assert 7 <= page.waits[0] <= 7.5
    assert page.waits[1] <= 1
    page = Page(refusal("not_ready", **{"Retry-After": "61"}), CAPTURED)
    assert (page.create()[0], page.waits) == ("checking", [])


@pytest.mark.parametrize("nonsense", ["nan", "-5", "inf", "Wed, 21 Oct 2026 07:28:00 GMT", ""])
def test_a_wait_that_is_no_number_of_seconds_is_none(nonsense: str) -> None:
    page = Page(refusal("rate_limited", **{"Retry-After": nonsense}), CAPTURED)
    assert page.create()[0] == "final"
    assert 0 <= page.waits[0] <= 0.5


@pytest.mark.exhaustive
def test_a_client_with_patience_goes_on_for_hours() -> None:
    page = Page()
    assert page.create(patience_s=6_000)[0] == "checking"
    assert len(page.sent) > 1_100  # more tries than a float has powers of two


_ACTION: Final = b'{"object": "payment", "state": "requires_action", "next_action": {"type": "redirect"}}'


def test_a_shopper_who_has_to_act_is_not_kept_waiting() -> None:
    page = Page((202, _ACTION, {"Retry-After": "2"}))
    assert page.create()[:2] == ("act", "please continue")
    assert page.waits == []


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ("captured", "paid"),
        ("authorized", "paid"),
        *((state, "not paid, nothing was charged") for state in ("declined", "failed", "canceled", "expired")),
        ("a state of a later release", "we are checking your payment"),
    ],
)
def test_what_the_shopper_sees_of_a_final_payment(state: str, shown: str) -> None:
    assert Page((201, b'{"object": "payment", "state": "%s"}' % state.encode(), {})).create()[:2] == ("final", shown)


def test_every_python_block_compiles() -> None:
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        compile(block, str(GUIDE), "exec")
