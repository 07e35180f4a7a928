"""The lifecycle of a dispute. It never moves its payment.

An inquiry that becomes a chargeback is ``escalated``, which moves no money. A step that changes what is known about the
money also posts to suspense what the dispute's course does not account for (``dispute_position``).
"""

from __future__ import annotations

from typing import Final

from tallystick.domain.dispute_position import DECIDED, suspended
from tallystick.domain.ledger import postings
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Checkpoint, Edge, Machine
from tallystick.domain.subjects import Dispute

#: The provider has said it: all that is known of a dispute comes from there, or from a person who asked there.
_SAID: Final[tuple[Checkpoint, ...]] = ("provider's word",)

#: Money that the dispute's course does not account for: a person was alerted.
_BEYOND: Final[tuple[Checkpoint, ...]] = (*_SAID, "rejection")


def _opened(_: None, after: Dispute) -> list[Posting]:
    return postings.dispute_opened(after.amount)


def _beyond(before: Dispute, after: Dispute) -> list[Posting]:
    """The change of its amount in suspense. The money of a won dispute that is now reported lost as well comes from the
    merchant; everything else comes from the provider or goes back to it."""
    legs: list[Posting] = []
    more = suspended(after) - suspended(before)
    if after.contested and not before.contested and after.state == "won":
        legs += postings.dispute_contested(after.provider, after.amount)
        more -= after.amount
    if more:
        late = postings.late_movement_in if more > 0 else postings.late_movement_out
        legs += late(after.provider, abs(more))
    return legs


def _withdrawn(before: Dispute, after: Dispute) -> list[Posting]:
    return [*postings.dispute_withdrawn(after.provider, after.amount), *_beyond(before, after)]


def _returned(before: Dispute, after: Dispute) -> list[Posting]:
    return [*postings.dispute_returned(after.provider, after.amount), *_beyond(before, after)]


def _won(before: Dispute, after: Dispute) -> list[Posting]:
    course = postings.dispute_won(after.provider, after.amount, withdrawn=before.funds_withdrawn)
    return [*course, *_beyond(before, after)]


def _lost(before: Dispute, after: Dispute) -> list[Posting]:
    course = postings.dispute_lost(after.provider, after.amount, withdrawn=before.funds_withdrawn)
    return [*course, *_beyond(before, after)]


def _money(state: str) -> dict[str, Edge]:
    """Edges about the money only. A provider may move it several times each way: ``funds_reported`` changes no sum
    and posts nothing, ``late_movement`` does, and with ``contested`` the provider has reported the dispute both won and
    lost. ``late_effect`` was the name of the last two."""
    return {
        "funds_reported": Edge(state, beside=_SAID),
        "late_movement": Edge(state, posts=_beyond, beside=_BEYOND),
        "contested": Edge(state, posts=_beyond, beside=_BEYOND),
        "late_effect": Edge(state, retired=True),
    }


def _undecided(state: str) -> dict[str, Edge]:
    return {
        "funds_withdrawn": Edge(state, posts=_withdrawn, told="dispute.funds_withdrawn", beside=_SAID),
        "funds_returned": Edge(state, posts=_returned, told="dispute.funds_returned", beside=_SAID),
        **{event: edge for event, edge in _money(state).items() if event != "contested"},
        "escalated": Edge(state, told="dispute.escalated", beside=_SAID),
        "won": Edge("won", posts=_won, told="dispute.won", beside=_SAID),
        "lost": Edge("lost", posts=_lost, told="dispute.lost", beside=_SAID),
    }


DISPUTE: Final = Machine(
    "dispute",
    {
        NEW: {"open": Edge("opened", posts=_opened, told="dispute.opened", beside=_SAID)},
        "opened": {
            **_undecided("opened"),
            "under_review": Edge("under_review", told="dispute.under_review", beside=_SAID),
        },
        "under_review": _undecided("under_review"),
        "won": _money("won"),
        "lost": _money("lost"),
    },
    final=DECIDED,
)
