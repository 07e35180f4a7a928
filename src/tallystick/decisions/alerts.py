"""What becomes of an alert: by its condition, or by a person. Pure."""

from __future__ import annotations

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.domain.alert import Alert, Found
from tallystick.domain.change import Change
from tallystick.domain.errors import TallystickError
from tallystick.domain.work_owner import require_owned, require_takeable


class AlertResolved(TallystickError):
    """The alert is resolved: nothing is done about it until it opens again."""


def raised(alert: Alert | None, alert_id: str, merchant_id: str, found: Found, cause: Cause) -> Change | None:
    """A condition holds. None where its alert says so already, or was resolved after the condition began: whoever
    resolved it knew."""
    builder = ChangeBuilder(merchant_id, alert_id, cause)
    if alert is None:
        builder.open(
            Alert(
                merchant_id=merchant_id,
                alert_id=alert_id,
                name=found.name,
                about=found.about,
                created_at=cause.at,
                version=1,
                state="open",
                severity=found.severity,
                owner=found.owner,
                summary=found.summary,
                began_at=found.began_at,
                opened_at=cause.at,
                updated_at=cause.at,
            )
        )
    elif alert.state == "resolved" and found.began_at > alert.updated_at:
        builder.move(
            alert,
            "reopen",
            severity=found.severity,
            owner=found.owner,
            summary=found.summary,
            began_at=found.began_at,
            opened_at=cause.at,
            openings=alert.openings + 1,
            acknowledged_by=None,
            resolved_by=None,
        )
    else:
        return None
    return builder.change(must_not_be_shed=False)


def cleared(alert: Alert, cause: Cause) -> Change:
    """The condition holds no longer. Raises AlertResolved."""
    return _moved(alert, "cleared", cause, resolved_by="rule")


def acknowledge(alert: Alert, by: str, cause: Cause) -> Change:
    """Somebody looks at it. Raises AlertResolved, and NotOwned where somebody else does."""
    require_unresolved(alert)
    require_takeable(alert.acknowledged_by, by)
    return _moved(alert, "acknowledge", cause, acknowledged_by=by)


def hand_on(alert: Alert, to: str, cause: Cause) -> Change:
    """Somebody else has to look at it. Raises AlertResolved."""
    return _moved(alert, "hand_on", cause, acknowledged_by=to)


def give_back(alert: Alert, cause: Cause) -> Change:
    """Nobody looks at it any more. Raises AlertResolved, and NotOwned where nobody did."""
    require_unresolved(alert)
    require_owned(alert.acknowledged_by)
    return _moved(alert, "give_back", cause, acknowledged_by=None)


def resolve(alert: Alert, by: str, cause: Cause) -> Change:
    """A person says that it is over. Raises AlertResolved."""
    return _moved(alert, "resolve", cause, resolved_by=by)


def require_unresolved(alert: Alert) -> None:
    """Raises AlertResolved."""
    if alert.state == "resolved":
        raise AlertResolved(f"alert {alert.alert_id} is resolved (by {alert.resolved_by})")


def _moved(alert: Alert, event: str, cause: Cause, **fields: object) -> Change:
    require_unresolved(alert)
    builder = ChangeBuilder(alert.merchant_id, alert.alert_id, cause)
    builder.move(alert, event, **fields)
    return builder.change(must_not_be_shed=False)
