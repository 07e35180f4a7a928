"""What may come of a try to deliver a message: stable codes, each with its meaning and what its merchant does about it.
The words of one try are the client's (``client.py``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from tallystick.record.postgres.outbox import SECRET_UNREADABLE
from tallystick.record.postgres.webhook_endpoints import DeliveryState, DeliveryTry

#: No try, but a request for more of them.
RESEND_REQUESTED: Final = "resend_requested"

DELIVERED: Final = "delivered"


class TryResult(Struct, frozen=True):
    """``meaning``, and ``advice`` to the merchant where something is wrong."""

    meaning: str
    advice: str = ""


#: Every code. The list is open: more may come.
TRY_RESULTS: Final[Mapping[str, TryResult]] = {
    DELIVERED: TryResult("A status of 2xx came within the time-out."),
    "refused": TryResult("Another status came.", "Look up `webhook-id` in the receiver's log."),
    "redirected": TryResult("A status of 3xx came. Redirects are not followed.", "Register the URL that it leads to."),
    "gone": TryResult("410 came: the endpoint is disabled.", "Enable it when it shall get messages again."),
    "timed_out": TryResult(
        "No connection could be made in time, or no response came in time.",
        "Answer first and work later. If no connection could be made, look at the firewall.",
    ),
    "unreachable": TryResult(
        "No connection could be made. `error` says whether it was refused.",
        "Start the receiver. Compare its host and port with the URL.",
    ),
    "disconnected": TryResult(
        "The connection was closed before there was a response.", "The receiver or its proxy ended early: see its log."
    ),
    "tls_failed": TryResult(
        "No verified TLS connection could be made. `error` says what is wrong with the certificate.",
        "Renew the certificate, or send its whole chain.",
    ),
    "broken": TryResult("The response is not HTTP.", "Something else listens on the URL's port."),
    "address_refused": TryResult(
        "The host's name does not resolve, or one of its addresses is not public. Which of the two is not said, and"
        " `duration_ms` is coarse: they would show which names an internal network has.",
        "Look at the DNS records of the host.",
    ),
    "name_unresolved": TryResult(
        "The host's name does not resolve. Only where private addresses are allowed, as in development.",
        "Correct the URL.",
    ),
    SECRET_UNREADABLE: TryResult(
        "Nothing was sent, because the platform cannot open the endpoint's secret.", "Rotate the secret."
    ),
    RESEND_REQUESTED: TryResult("Somebody asked to send the message again. It is no try."),
}


def latest_failure(state: DeliveryState, tries: Iterable[DeliveryTry]) -> DeliveryTry | None:
    """The try that says why a delivery in this state has not arrived; None where it has, or where no try has failed.
    ``tries``: oldest first."""
    if state == DELIVERED:
        return None
    failed = [one for one in tries if one.result not in (DELIVERED, RESEND_REQUESTED)]
    return failed[-1] if failed else None
