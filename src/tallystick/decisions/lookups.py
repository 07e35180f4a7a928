"""What recovery does with a due attempt, and what the answer to its question is worth. Pure.

Only a negative answer of a consistent look-up, to a question whose time bounds can be trusted, after nothing can be in
transit any more, proves that nothing happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never

from msgspec import Struct

from tallystick.domain.subjects import Attempt
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import NotFound, NotSent, Unknown, Verdict
from tallystick.kit.clock_skew import Skew


class DueStep(StrEnum):
    """The first step of recovery with an attempt that is due."""

    WAIT = "wait"  # its sender may still write
    ASK = "ask"  # look it up
    MOVE = "move"  # send it again, give it up, or park it
    NO_NEWS = "no_news"  # nothing can be asked, and nothing needs to be sent
    NONE = "none"  # it is closed


class NoNews(StrEnum):
    """What recovery does with an attempt of which it learned nothing."""

    LOOK_AGAIN = "look_again"
    EXPIRE = "expire"  # it waited too long for its customer
    PARK = "park"  # it was looked up often enough


class Asked(Struct, frozen=True, kw_only=True):
    """The time in which a provider can have received an attempt, on the provider's clock as far as that is known."""

    earliest: datetime
    latest: datetime


def due_step(attempt: Attempt, traits: Traits, *, sending: bool) -> DueStep:
    """``sending``: its sender's deadline has not passed, by the database's clock."""
    match attempt.state:
        case "not_sent" | "not_found":
            return DueStep.MOVE
        case "submitted" if sending:
            return DueStep.WAIT
        case "submitted" | "unknown" | "pending" | "requires_action":
            if traits.can_fetch or attempt.state == "submitted":
                return DueStep.ASK
            # No look-up: the same request is sent again, and a notification reports pending outcomes.
            return DueStep.MOVE if attempt.state == "unknown" else DueStep.NO_NEWS
        case "approved" | "declined" | "failed" | "reversed":
            return DueStep.NONE
        case _:
            assert_never(attempt.state)


def believes_not_found(traits: Traits, *, settled: bool, clocks_agree: bool, key_taken: bool) -> bool:
    """Whether "no such charge" counts now. An inconsistent lookup is never evidence. But a provider that deduplicates
    can be sent the same key again, which needs no evidence. A question that was bounded by a clock which is off may
    have been about another time; and what happened under a key that was used for another request bears another
    attempt's name."""
    return not key_taken and settled and clocks_agree and (traits.lookup_is_consistent or traits.deduplicates)


def evidence_in(
    attempt: Attempt, verdict: Verdict, traits: Traits, *, settled: bool, clocks_agree: bool
) -> Verdict | None:
    """What a look-up's verdict is worth. None: what happened under the attempt's key can be found by nobody but a
    person, and it is parked."""
    if not isinstance(verdict, NotFound):
        return verdict
    if believes_not_found(traits, settled=settled, clocks_agree=clocks_agree, key_taken=attempt.key_taken):
        return verdict
    if attempt.key_taken and settled and attempt.state == "unknown":
        return None
    return Unknown(reason="not there yet: no evidence", raw=verdict.raw)


def is_news(attempt: Attempt, verdict: Verdict) -> bool:
    """Whether it may change the attempt. A submitted one that the look-up cannot settle becomes unknown; an unknown one
    stays unknown."""
    return attempt.state == "submitted" or not isinstance(verdict, Unknown)


def answer_of_submission(verdict: Verdict, *, doubted: bool, can_have_been_sent: bool) -> Verdict:
    """What the answer to a submission says of its attempt. ``doubted``: an earlier submission may have had an effect,
    if it ``can_have_been_sent``: then that this one was not sent proves nothing."""
    if doubted and can_have_been_sent and isinstance(verdict, NotSent):
        return Unknown(reason=f"an earlier submission is in doubt; this one: {verdict.reason}", raw=verdict.raw)
    return verdict


def is_overtaken(attempt: Attempt, verdict: Verdict, submissions: int) -> bool:
    """Whether a negative verdict is older than the attempt's last submission: there were so many when it was given.
    That nothing had happened, or was sent, by then says nothing of what was sent since."""
    return isinstance(verdict, NotFound | NotSent) and attempt.submissions != submissions


def no_news(
    attempt: Attempt, *, age_ms: int, checks: int, action_deadline_ms: int, pending_deadline_ms: int, checks_limit: int
) -> NoNews:
    """``age_ms`` since its first submission; ``checks``: how often it was looked up since its last news."""
    if attempt.state == "requires_action" and age_ms > action_deadline_ms:
        return NoNews.EXPIRE
    waiting = attempt.state in ("pending", "requires_action")
    over = age_ms > pending_deadline_ms if waiting else checks >= checks_limit
    return NoNews.PARK if over and attempt.state in ("pending", "unknown") else NoNews.LOOK_AGAIN


def on_their_clock(moment: datetime, database: Skew | None, theirs: Skew | None) -> datetime:
    """A moment of the database's clock on a provider's; ``database`` and ``theirs`` are this host's clock beside
    each."""
    if theirs is None or database is None:
        return moment
    return moment + timedelta(milliseconds=database.skew_ms - theirs.skew_ms)


def asked_between(
    opened_at: datetime, deadline: datetime, traits: Traits, database: Skew | None, theirs: Skew | None
) -> Asked:
    """The bounds of the question about an attempt: from its opening, on the database's clock, until its last submission
    cannot be under way any more."""
    late = timedelta(milliseconds=traits.max_delivery_delay_ms)
    return Asked(
        earliest=on_their_clock(opened_at, database, theirs),
        latest=on_their_clock(deadline + late, database, theirs),
    )


def clocks_agree(skews: Iterable[Skew | None], margin_ms: int) -> bool:
    """Whether none of these clocks is certainly further from this host's than the margin."""
    return not any(skew is not None and skew.is_beyond(margin_ms) for skew in skews)
