"""What becomes of a rejected case: by an operator, or by a rule. Pure.

A case is a stream of its own, so no step of it takes a version of what it is about.
"""

from __future__ import annotations

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.domain.change import Change
from tallystick.domain.errors import TallystickError
from tallystick.domain.kinds import kind_of
from tallystick.domain.late_money import unclaimed
from tallystick.domain.lifecycles.rejected_case import REJECTED_CASE
from tallystick.domain.rejected_case import ClosedBy, RejectedCase, Resolution
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.work_owner import require_owned, require_takeable


class CaseResolved(TallystickError):
    """The case is resolved: nothing is done about it any more."""


def require_unresolved(case: RejectedCase) -> None:
    """Raises CaseResolved."""
    if case.state in REJECTED_CASE.final:
        raise CaseResolved(f"case {case.case_id} is {case.state} ({case.resolution})")


def acknowledge(case: RejectedCase, owner: str, cause: Cause) -> Change:
    """Somebody looks at it. Raises CaseResolved, and NotOwned where somebody else does."""
    require_unresolved(case)
    require_takeable(case.owner, owner)
    return _moved(case, "acknowledge", cause, owner=owner)


def escalate(case: RejectedCase, owner: str, cause: Cause) -> Change:
    """Somebody else has to look at it. Raises CaseResolved."""
    return _moved(case, "escalate", cause, owner=owner, escalations=case.escalations + 1)


def give_back(case: RejectedCase, cause: Cause) -> Change:
    """Nobody looks at it any more. Raises CaseResolved, and NotOwned where nobody did."""
    require_unresolved(case)
    require_owned(case.owner)
    return _moved(case, "give_back", cause, owner=None)


def ignore(case: RejectedCase, cause: Cause) -> Change:
    """A person says that nothing has to be done. Raises CaseResolved."""
    return _ended(case, "ignore", "ignored", "person", cause)


def rejected_again(case: RejectedCase, cause: Cause) -> Change:
    """It was processed again, and refused by the same guards. Raises CaseResolved."""
    return _moved(case, "rejected_again", cause, reprocessings=case.reprocessings + 1)


def reprocessed(case: RejectedCase, cause: Cause) -> Change:
    """It was processed again, and the same guards accepted it. Raises CaseResolved."""
    tried = case.reprocessings + 1
    return _ended(case, "reprocessed", "reprocessed", "person", cause, reprocessings=tried)


def settled(case: RejectedCase, resolution: Resolution, closed_by: ClosedBy, cause: Cause) -> Change:
    """Nothing is left of it to decide. Raises CaseResolved."""
    return _ended(case, "settled", resolution, closed_by, cause)


def closing_rule(case: RejectedCase, stored: PaymentSnapshot) -> Resolution | None:
    """Why the case needs no person any more, by what is stored of its payment; None while it does. Late money was
    decided on; or what was refused has become the state since. What was malformed or is unknown to us never closes by
    itself: no state makes it right."""
    payment = stored.payment
    if case.category == "late" and payment.amount_late > 0:
        decided = unclaimed(payment) == 0 and payment.amount_late_returning == 0
        return "late_money_decided" if decided else None
    if case.category not in ("late", "conflicting") or case.subject_state == case.event:
        return None
    states = {kind_of(each).id_of(each): each.state for each in stored.subjects}
    return "agrees" if states.get(case.subject_id) == case.event else None


def _ended(
    case: RejectedCase, event: str, resolution: Resolution, closed_by: ClosedBy, cause: Cause, **fields: int
) -> Change:
    return _moved(case, event, cause, resolution=resolution, closed_by=closed_by, **fields)


def _moved(case: RejectedCase, event: str, cause: Cause, **fields: object) -> Change:
    require_unresolved(case)
    builder = ChangeBuilder(case.merchant_id, case.case_id, cause)
    builder.move(case, event, **fields)
    return builder.change(must_not_be_shed=False)
