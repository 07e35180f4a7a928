"""Plays a life of ``table.py`` through the product's own decisions, and gives the messages that it makes.

Nothing but this module knows what the product's modules and functions are called. There is no database, no clock and
no race here: a life is a list of inputs in one order, and the same inputs make the same messages.

An input is a line of words:

    create automatic|manual           the merchant's instructions, on a payment of 1,000 EUR; amounts in cents
    capture [amount]  cancel  refund [amount]
    answer CALL WORD                  what the provider answers our own call
    lookup CALL WORD                  what it says when recovery asks
    resubmit CALL                     recovery sends once more
    give up CALL  park CALL           recovery ends, with proof or without
    expire                            recovery lets go of what nobody captured, or where no customer came
    lookup hold WORD                  what the provider says of a hold that recovery looks at, at its deadline
    late accepted|returned            what an operator decides of late money
    operator CALL WORD                a person's word on a parked call; ``operator CALL not_executed`` also gives up
    webhook CALL WORD                 the provider tells of one of our calls
    webhook charge WORD               of a charge, whoever brought it there: captured, voided, expired
    webhook dashboard refunded|failed AMOUNT
    webhook dashboard captured NAME AMOUNT   a part of a hold, by the provider's name for it
    webhook dashboard came_back NAME         that part never came
    webhook dashboard ended NAME AMOUNT      canceled or refunded, and the provider does not say which
    webhook dispute STATE [MOVED...]  ``withdrawn:1``: money went, under that name. ``withdrawn``, ``unnamed``: from a
                                      provider that names no movements. ``inquiry``: the bank only asks.
                                      ``dispute#2 … =400``: another one, over 4.00
    (ACT)                             something happens at the provider; nothing of ours

A CALL is authorize, capture, cancel or refund; ``refund#1`` is the first one. A WORD is in ``WORDS``; ``captured:600``
says how much. A webhook ends in ``-> DISPOSITION``, or in ``-> ask WORD -> DISPOSITION`` where the provider is asked
first what holds now.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import msgspec

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.instructions import (
    Instruction,
    cancel_payment,
    capture_payment,
    create_payment,
    create_refund,
    expire_payment,
)
from tallystick.decisions.late_effects import observe_authorization
from tallystick.decisions.late_money import accept_late_money, return_late_money
from tallystick.decisions.provider_events.dispositions import Ask, Decided
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.decisions.resubmission import park, resubmit
from tallystick.decisions.terms import Checks, Terms
from tallystick.decisions.verdicts import apply_verdict, give_up
from tallystick.domain.change import Change, Message, Transition
from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    Notice,
    RefundNotice,
)
from tallystick.domain.snapshot import PaymentSnapshot, opened_by
from tallystick.domain.subjects import Attempt, DisputeKind, DisputeState
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    Effect,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
)
from tallystick.kit.ids import derived_id

MERCHANT: Final = "m1"
PROVIDER: Final = "simulator"
ACCOUNT: Final = "main"
AMOUNT: Final = 1_000
CURRENCY: Final = "EUR"
CHARGE: Final = "ch_theirs"
AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

_TERMS: Final = Terms(account=ACCOUNT, send_window_ms=1, request_timeout_ms=1, settling_ms=1)
_CHECKS: Final = Checks(unknown_in_ms=1, pending_in_ms=1, not_sent_in_ms=1, authorization_deadline_ms=1)

#: The words for an approval: where the money is then.
EFFECTS: Final = frozenset({"authorized", "captured", "voided", "refunded"})

#: The words for a refusal -> code and message as the connector gives them, and whether a new instruction may help.
REFUSALS: Final = {
    "declined": ("card_declined", "The card was declined.", False),
    "no_funds": ("insufficient_funds", "The card has insufficient funds.", True),
    "abandoned": ("authentication_failed", "The customer did not complete the authentication.", True),
    "dropped": ("authentication_failed", "The payment was canceled before the customer acted.", True),
    "captured_already": ("charge_already_captured", "The charge was captured already.", False),
    "canceled_already": ("charge_already_canceled", "The charge was canceled already.", False),
    "not_authorized": ("charge_not_authorized", "The charge holds no money.", False),
    "too_large": ("amount_too_large", "The amount is above what is left.", False),
    "by_operator": ("declined_by_operator", "Settled by an operator.", False),
}

#: The word for what was done and came back, by call.
FAILED: Final = {
    "authorize": ("capture_failed", "The card's bank refused the capture after all."),
    "capture": ("capture_failed", "The card's bank refused the capture after all."),
    "refund": ("refund_failed", "The card's bank sent the refund back."),
}

WORDS: Final = EFFECTS | set(REFUSALS) | {
    "failed", "pending", "requires_action", "unknown", "not_found", "not_sent", "not_executed",
}  # fmt: skip

_IDS: Final = re.compile(r"\b(pay|re|dp|msg)_[0-9a-f]{32}\b")
_NAMES: Final = {"pay": "payment", "re": "refund", "dp": "dispute", "msg": "message"}
_TIMES: Final = frozenset({"timestamp", "created_at", "updated_at"})


class WrongLife(AssertionError):
    """A life is not written as it goes: the provider's word comes to something else, or it has not ended."""


class Life:
    """A payment and all that happens to it. Every id has the shape of a real one and is counted, so it is the same in
    each run."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers: Counter[str] = Counter()
        self._versions: Counter[str] = Counter()
        self.changes: list[Change] = []
        self._stored: PaymentSnapshot | None = None

    @property
    def stored(self) -> PaymentSnapshot:
        """The payment with its attempts, refunds and disputes, as it is now."""
        assert self._stored is not None, "a life begins with create"
        return self._stored

    def play(self, line: str) -> None:
        """One input. Raises WrongLife."""
        verb, *words = line.split()
        match verb, words:
            case "create", [capture_method]:
                self._create(capture_method)
            case "capture", amount:
                self._commit(capture_payment(self._instruction(), self.stored.payment, _first(amount), _TERMS))
            case "cancel", []:
                self._commit(cancel_payment(self._instruction(), self.stored.payment, _TERMS))
            case "refund", amount:
                self._refund(_first(amount))
            case "lookup", ["hold", word]:
                self._look_at_hold(word)
            case "answer" | "lookup", [call, word]:
                self._settle(call, word)
            case "operator", [call, word]:
                self._settle(call, word)
                if word == "not_executed":
                    self._commit(give_up(self.stored, self.attempt(call).attempt_id, self._step()))
            case "resubmit", [call]:
                self._commit(resubmit(self.stored, self.attempt(call).attempt_id, self._step(), _TERMS))
            case "give", ["up", call]:
                self._commit(give_up(self.stored, self.attempt(call).attempt_id, self._step()))
            case "park", [call]:
                self._commit(park(self.stored, self.attempt(call).attempt_id, self._step()))
            case "late", ["accepted"]:
                self._commit(accept_late_money(self.stored, self._step()))
            case "late", ["returned"]:
                self._commit(return_late_money(self.stored, self._id("att"), self._step(), _TERMS))
            case "expire", []:
                self._commit(expire_payment(self.stored.payment, self._id("att"), self._step(), _TERMS))
            case "webhook", said:
                self._hear(" ".join(said))
            case _ if line.startswith("("):
                pass
            case _:
                raise WrongLife(f"not an input: {line}")

    def attempt(self, call: str) -> Attempt:
        """The latest attempt of an operation, or the one that ``refund#1`` counts."""
        operation, _, number = call.partition("#")
        found = [each for each in self.stored.attempts if each.operation == operation]
        if not found:
            raise WrongLife(f"there is no {call} yet")
        return found[int(number) - 1 if number else -1]

    def verdict(self, call: str, word: str) -> Verdict:
        """What the provider says of a call."""
        name, _, amount = word.partition(":")
        attempt = self.attempt(call)
        reference = self._reference(attempt)
        if name in EFFECTS:
            value = int(amount or (AMOUNT if attempt.operation == "cancel" else attempt.amount))
            return Approved(amount=value, currency=CURRENCY, effect=cast(Effect, name), reference=reference)
        if name in REFUSALS:
            code, message, retryable = REFUSALS[name]
            return Declined(code=code, message=message, retryable=retryable, reference=reference)
        match name:
            case "failed":
                code, message = FAILED[attempt.operation]
                return Reversed(code=code, message=message, reference=reference)
            case "pending":
                return Pending(reference=reference)
            case "requires_action":
                action = {"type": "redirect", "url": f"/sim/charges/{CHARGE}/complete"}
                return RequiresAction(next_action=action, reference=reference)
            case "unknown":
                return Unknown(reason="no answer")
            case "not_found" | "not_executed":
                return NotFound()
            case "not_sent":
                return NotSent(reason="no connection")
        raise WrongLife(f"not a word of a provider: {word}")

    def asked(self, attempt: Attempt, word: str) -> Verdict:
        """What the provider says of an attempt that an event contradicts."""
        return self.verdict(attempt.operation, word)

    def notice(self, said: str) -> Notice:
        """An event of the provider, as its receiver reads it."""
        subject, *words = said.split()
        match subject.partition("#")[0], words:
            case "authorize" | "capture" | "cancel" | "refund", [word]:
                attempt = self.attempt(subject)
                verdict: Any = self.verdict(subject, word)
                return AttemptNotice(
                    operation=attempt.operation,
                    attempt_id=attempt.attempt_id,
                    reference=self._reference(attempt),
                    verdict=verdict,
                )
            case "charge", [word]:
                effect, _, amount = word.replace("expired", "voided").partition(":")
                value, reported = int(amount or AMOUNT), cast(Effect, effect)
                approved = Approved(amount=value, currency=CURRENCY, effect=reported, reference=CHARGE)
                return ChargeNotice(verdict=approved, expired=word == "expired")
            case "dashboard", ["captured", part, amount]:
                return CaptureNotice(reference=f"cap_theirs_{part}", amount=int(amount), currency=CURRENCY)
            case "dashboard", ["ended", word, amount]:
                return CancelOrRefundNotice(reference=f"end_theirs_{word}", amount=int(amount), currency=CURRENCY)
            case "dashboard", ["came_back", part]:
                code, message = FAILED["capture"]
                came_back = Reversed(code=code, message=message)
                return AttemptNotice(operation="capture", reference=f"cap_theirs_{part}", verdict=came_back)
            case "dashboard", ["refunded", amount]:
                return RefundNotice(reference=f"re_theirs_{amount}", amount=int(amount), currency=CURRENCY)
            case "dashboard", ["failed", amount]:
                code, message = FAILED["refund"]
                verdict = Reversed(code=code, message=message)
                return AttemptNotice(operation="refund", reference=f"re_theirs_{amount}", verdict=verdict)
            case "dispute", [state, *moved]:
                return _dispute(subject, cast(DisputeState, state), moved)
        raise WrongLife(f"not an event: {said}")

    def _create(self, capture_method: str) -> None:
        self._commit(
            create_payment(
                self._instruction(),
                self._id("pay"),
                amount=AMOUNT,
                currency=CURRENCY,
                payment_method=self._name.partition(":")[0],
                automatic={"automatic": True, "manual": False}[capture_method],
                provider=PROVIDER,
                description=None,
                metadata={},
                terms=_TERMS,
            )
        )

    def _refund(self, amount: int | None) -> None:
        instruction, refund_id = self._instruction(), self._id("re")
        payment = self.stored.payment
        disputes = self.stored.disputes
        self._commit(create_refund(instruction, payment, disputes, refund_id, amount=amount, reason=None, terms=_TERMS))

    def _settle(self, call: str, word: str) -> None:
        attempt_id, verdict = self.attempt(call).attempt_id, self.verdict(call, word)
        change = apply_verdict(self.stored, attempt_id, verdict, self._step(), self._id("rej"), _CHECKS)
        if change is not None:
            self._commit(change)

    def _look_at_hold(self, word: str) -> None:
        attempt_id, verdict = self.attempt("authorize").attempt_id, self.verdict("authorize", word)
        change = observe_authorization(self.stored, attempt_id, verdict, self._step())
        if change is not None:
            self._commit(change)

    def _hear(self, said: str) -> None:
        event, *rest = said.split(" -> ")
        newest = None
        if len(rest) == 2:
            asked, word = rest.pop(0).split()
            outcome = self._decided(event, None)
            if asked != "ask" or not isinstance(outcome, Ask):
                raise WrongLife(f"{event}: {outcome}")
            newest = self.asked(self.stored.attempt(outcome.attempt_id), word)
        [expected] = rest
        outcome = self._decided(event, newest)
        came_to = outcome.disposition if isinstance(outcome, Decided) else type(outcome).__name__
        if came_to != {"later": "NotYet"}.get(expected, expected):
            raise WrongLife(f"{event}: {outcome}, not {expected}")
        if isinstance(outcome, Decided) and outcome.change is not None:
            self._commit(outcome.change)

    def _decided(self, event: str, newest: Verdict | None) -> Any:
        return decide_notice(
            self.stored,
            self.notice(event),
            provider=PROVIDER,
            account=ACCOUNT,
            cause=self._step(),
            rejection_id=self._id("rej"),
            checks=_CHECKS,
            charge=CHARGE,
            newest=newest,
        )

    def _commit(self, change: Change) -> None:
        """As the journal does: all of it, where each version is the next one of its subject."""
        for step in change.transitions:
            assert step.version == self._versions[step.subject_id] + 1, f"{step.subject_id} is stale"
            self._versions[step.subject_id] = step.version
        self.changes.append(change)
        self._stored = opened_by(change) if self._stored is None else self._stored.after(change)

    def _reference(self, attempt: Attempt) -> str:
        """The provider's name for a call: an authorization is called as its charge."""
        if attempt.operation == "authorize":
            return CHARGE
        same = [each.attempt_id for each in self.stored.attempts if each.operation == attempt.operation]
        return f"{attempt.operation}_theirs_{same.index(attempt.attempt_id) + 1}"

    def _step(self) -> Cause:
        change_id = self._id("chg")
        at = AT + timedelta(seconds=self._numbers["chg"])
        return Cause(change_id=change_id, at=at, trigger="golden", actor="golden")

    def _instruction(self) -> Instruction:
        step = self._step()
        number = self._numbers["chg"]
        return Instruction(
            merchant_id=MERCHANT,
            idempotency_key=f"key-{number}",
            operation="POST",
            path="/v1/payments",
            fingerprint=b"f",
            fingerprint_version=1,
            request=b"{}",
            actor=step.actor,
            request_id=self._id("req"),
            instruction_id=self._id("ins"),
            change_id=step.change_id,
            attempt_id=self._id("att"),
            rejection_id=self._id("rej"),
            at=step.at,
        )

    def _id(self, prefix: str) -> str:
        self._numbers[prefix] += 1
        return derived_id(prefix, self._name, str(self._numbers[prefix]))


def played(name: str, steps: str) -> Life:
    """A life, played to its end: no call is without an outcome. Raises WrongLife."""
    life = Life(name)
    for line in lines(steps):
        try:
            life.play(line)
        except WrongLife as wrong:
            raise WrongLife(f"at {line!r}: {wrong}") from None
    still_open = [each for each in life.stored.attempts if each.state in ATTEMPT_OPEN]
    if still_open:
        raise WrongLife(f"it has not ended: {[(each.operation, each.state) for each in still_open]}")
    return life


def lines(steps: str) -> list[str]:
    """A life's inputs."""
    return [line.strip() for line in steps.split(";") if line.strip()]


def told(life: Life) -> list[dict[str, Any]]:
    """A life's messages as they are compared. Ids are replaced by names, in the order of their appearance; times are
    left out. Each message's id is checked here, against its change and its subject: receivers drop repetitions by it.
    """
    names: dict[str, str] = {}
    counts: Counter[str] = Counter()

    def name(found: re.Match[str]) -> str:
        kind = _NAMES[found[1]]
        if found[0] not in names:
            counts[kind] += 1
            names[found[0]] = f"{kind}_{counts[kind]}"
        return names[found[0]]

    messages: list[dict[str, Any]] = []
    for change in life.changes:
        for message in change.messages:
            assert message.message_id == derived_id("msg", change.change_id, message.subject_id), message
            body = _consistent(message)
            readable = msgspec.json.decode(_IDS.sub(name, msgspec.json.encode(_timeless(body)).decode()))
            messages.append(
                {
                    "number": len(messages) + 1,
                    "type": message.type,
                    "subject": body["data"]["object"],
                    "version": message.version,
                    "body": readable,
                }
            )
    return messages


def lost(life: Life) -> list[str]:
    """The types of messages that were lost while a change told of a subject's last step alone: where that one is not
    told, none of the steps before it was."""
    found = []
    for change in life.changes:
        steps: dict[str, list[str | None]] = {}
        for step in change.transitions:
            steps.setdefault(step.subject_id, []).append(_told(step))
        for types in steps.values():
            if types[-1] is None:
                found += [kind for kind in types if kind is not None]
    return found


def _consistent(message: Message) -> dict[str, Any]:
    """The body, which repeats what the row beside it says."""
    body: dict[str, Any] = msgspec.json.decode(message.body)
    said = (body["id"], body["type"], body["payment_id"], body["version"], body["data"]["id"])
    assert said == (message.message_id, message.type, message.stream_id, message.version, message.subject_id), message
    return body


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key not in _TIMES}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def _dispute(subject: str, state: DisputeState, words: Sequence[str]) -> DisputeNotice:
    moved, amount = [], AMOUNT
    funds: Funds | None = None
    kind: DisputeKind = "chargeback"
    names = True
    for word in words:
        way, named, reference = word.partition(":")
        if word.startswith("="):
            amount = int(word[1:])
        elif word == "inquiry":
            kind = "inquiry"
        elif word == "unnamed":
            names = False
        elif not named:
            names, funds = False, cast(Funds, way)
        else:
            early = state in ("opened", "under_review")
            movement = f"{subject.replace('#', '_')}_moved_{reference}"
            funds = cast(Funds, way)
            moved.append(Movement(reference=movement, funds=funds, amount=amount, before_verdict=early))
    return DisputeNotice(
        reference=f"{subject.replace('#', '_')}_theirs",
        state=state,
        amount=amount,
        currency=CURRENCY,
        funds=funds,
        movements=tuple(moved) if names else None,
        reason="fraudulent",
        kind=kind,
    )


def _told(step: Transition) -> str | None:
    edge = MACHINES[step.subject].edge(step.from_state, step.event)
    return None if edge is None else edge.told


def _first(amount: list[str]) -> int | None:
    return int(amount[0]) if amount else None
