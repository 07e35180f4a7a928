"""What happens to a demonstration payment, and where it must end: one row per story.

A story is a script of the test acquirer, what the client does after the create, and the only ends that the payment may
have. Every payment of the demonstration is compared with its row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

#: Amounts, in minor units: large enough that a half is still an amount, small enough to look like purchases.
AMOUNTS: Final = range(200, 50_000)

#: With two, with no and with three decimals.
CURRENCIES: Final = ("EUR", "USD", "GBP", "JPY", "KWD")

#: The same run every time, so that results can be compared.
SEED: Final = 1894


class Story(Struct, frozen=True, kw_only=True):
    """``then``: capture, capture_half, cancel, refund, refund_half, complete, abandon; ``a|b`` sends both at once.
    ``ends``: the states that the payment may end in. ``weight``: how many in about a thousand."""

    name: str
    payment_method: str
    ends: tuple[str, ...]
    weight: int
    manual: bool = False
    then: str | None = None
    refund_fails: bool = False
    capture_fails: bool = False  # days later, by webhook
    refunded_elsewhere: bool = False  # half of it, in the provider's own dashboard
    disputes: int = 0

    @property
    def faulty(self) -> bool:
        """Whether it takes recovery to finish: such payments start early, so that the run ends together."""
        return any(
            word in self.payment_method
            for word in ("timeout", "error", "reset", "slow", "pending", "action", "webhook", "dispute", "late")
        )

    def captured(self, state: str, amount: int) -> int:
        """What must have been captured when the payment ends in ``state``."""
        if state != "captured":
            return 0
        return amount // 2 if self.then == "capture_half" else amount

    def reversed(self, amount: int) -> int:
        """What was captured and never came."""
        return amount if self.capture_fails else 0

    def refunded(self, amount: int) -> int:
        """What must have been refunded in the end."""
        if self.refunded_elsewhere:
            return amount // 2
        if self.refund_fails or self.then not in ("refund", "refund_half"):
            return 0
        return amount // 2 if self.then == "refund_half" else amount


def _faults(stage: str, then: str, done: str, undone: str, *, manual: bool) -> list[Story]:
    """The acquirer's faults on a later call: those that had their effect, and those that had none."""
    rows = []
    for fault, effective, weight in (
        ("declined", False, 4),
        ("timeout_charged", True, 3),
        ("timeout_not_charged", False, 2),
        ("error_charged", True, 4),
        ("error_not_charged", False, 2),
        ("reset_charged", True, 4),
    ):
        rows.append(
            Story(
                name=f"{stage}: {fault.replace('_', ', ', 1).replace('_', ' ')}",
                payment_method=f"sim_{stage}_{fault}",
                ends=(done if effective else undone,),
                weight=weight,
                manual=manual,
                then=then,
                refund_fails=stage == "refund" and not effective,
            )
        )
    return rows


def _webhook_stories() -> list[Story]:
    """Outcomes reported only by webhooks, and faults of webhooks."""
    rows = [
        Story(name=f"webhook {how}", payment_method=f"sim_webhook_{how}", ends=("captured",), weight=6)
        for how in ("only", "duplicate", "reordered", "delayed", "lost", "forged", "early")
    ]
    disputed = [
        Story(name=f"dispute {end}", payment_method=f"sim_dispute_{end}", ends=("captured",), weight=4, disputes=1)
        for end in ("won", "lost", "second")
    ]
    return [
        *rows,
        *disputed,
        Story(
            name="refund fails late",
            payment_method="sim_refund_fails_late",
            ends=("captured",),
            weight=4,
            then="refund",
            refund_fails=True,
        ),
        Story(
            name="capture fails late",
            payment_method="sim_capture_fails_late",
            ends=("captured",),
            weight=4,
            capture_fails=True,
        ),
        Story(
            name="refunded in the dashboard",
            payment_method="sim_dashboard_refund",
            ends=("captured",),
            weight=4,
            refunded_elsewhere=True,
        ),
        Story(
            name="captured in the dashboard",
            payment_method="sim_dashboard_capture",
            ends=("captured",),
            weight=4,
            manual=True,
        ),
        Story(name="hold expires", payment_method="sim_expires", ends=("expired",), weight=4, manual=True),
        Story(name="captured after a decline", payment_method="sim_late_capture", ends=("declined",), weight=4),
    ]


STORIES: Final[Sequence[Story]] = (
    Story(name="paid", payment_method="sim_ok", ends=("captured",), weight=520),
    Story(name="refunded", payment_method="sim_ok", ends=("captured",), weight=50, then="refund"),
    Story(name="half refunded", payment_method="sim_ok", ends=("captured",), weight=30, then="refund_half"),
    Story(name="captured later", payment_method="sim_ok", ends=("captured",), weight=50, manual=True, then="capture"),
    Story(
        name="half captured", payment_method="sim_ok", ends=("captured",), weight=20, manual=True, then="capture_half"
    ),
    Story(name="canceled", payment_method="sim_ok", ends=("canceled",), weight=20, manual=True, then="cancel"),
    Story(
        name="capture against cancel",
        payment_method="sim_ok",
        ends=("captured", "canceled"),
        weight=20,
        manual=True,
        then="capture|cancel",
    ),
    Story(name="held", payment_method="sim_ok", ends=("authorized",), weight=20, manual=True),
    Story(name="declined", payment_method="sim_declined", ends=("declined",), weight=30),
    Story(name="insufficient funds", payment_method="sim_insufficient_funds", ends=("declined",), weight=20),
    Story(name="slow", payment_method="sim_slow", ends=("captured",), weight=8),
    Story(name="pending at first", payment_method="sim_pending", ends=("captured",), weight=12),
    Story(name="timeout, charged", payment_method="sim_timeout_charged", ends=("captured",), weight=16),
    Story(name="timeout, not charged", payment_method="sim_timeout_not_charged", ends=("failed",), weight=8),
    Story(name="error, charged", payment_method="sim_error_charged", ends=("captured",), weight=24),
    Story(name="error, not charged", payment_method="sim_error_not_charged", ends=("failed",), weight=8),
    Story(name="reset, charged", payment_method="sim_reset_charged", ends=("captured",), weight=24),
    Story(name="customer acts", payment_method="sim_action_required", ends=("captured",), weight=10, then="complete"),
    Story(name="customer abandons", payment_method="sim_action_required", ends=("declined",), weight=4, then="abandon"),
    Story(
        name="canceled while waiting",
        payment_method="sim_action_required",
        ends=("canceled",),
        weight=4,
        then="cancel",
    ),
    Story(name="left waiting", payment_method="sim_action_required", ends=("requires_action",), weight=4),
    *_webhook_stories(),
    *_faults("capture", "capture", "captured", "authorized", manual=True),
    *_faults("cancel", "cancel", "canceled", "authorized", manual=True),
    *_faults("refund", "refund", "captured", "captured", manual=False),
)


class Order(Struct, frozen=True, kw_only=True):
    """One payment that the demonstration asks for, and how its client behaves."""

    run: str  # what keys of this run begin with: another run on the same data asks for payments of its own
    number: int
    story: Story
    amount: int
    currency: str
    retries: bool  # asks again after the final answer
    duplicates: int  # further requests with the same key at the same moment
    hangs_up_after_ms: int | None  # drops the first connection, then asks again

    @property
    def key(self) -> str:
        """The idempotency key of the create."""
        return f"{self.run}-{self.number:06d}"

    def body(self) -> dict[str, Any]:
        """The payment as asked for."""
        return {
            "amount": self.amount,
            "currency": self.currency,
            "payment_method": self.story.payment_method,
            "capture_method": "manual" if self.story.manual else "automatic",
            "description": self.story.name,
            "metadata": {"order": self.key},
        }


def plan(payments: int, run: str = "demo") -> list[Order]:
    """The orders of one run, in the order of their start: each story at least once where there is room."""
    rng = random.Random(SEED)
    stories = list(STORIES[:payments])
    stories += rng.choices(STORIES, weights=[s.weight for s in STORIES], k=payments - len(stories))
    # Faulty ones within the first half, the others all along: what takes recovery longest does not come last.
    stories.sort(key=lambda story: rng.random() * (0.5 if story.faulty else 1.0))
    return [_order(run, number, story, rng) for number, story in enumerate(stories, start=1)]


def _order(run: str, number: int, story: Story, rng: random.Random) -> Order:
    return Order(
        run=run,
        number=number,
        story=story,
        amount=rng.choice(AMOUNTS),
        currency=rng.choice(CURRENCIES),
        retries=rng.random() < 0.25,
        duplicates=rng.choice((1, 2, 4)) if rng.random() < 0.08 else 0,
        hangs_up_after_ms=rng.randrange(2, 60) if rng.random() < 0.05 else None,
    )
