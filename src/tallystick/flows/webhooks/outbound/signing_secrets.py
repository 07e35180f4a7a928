"""The secrets that sign an endpoint's messages: read, and opened."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from tallystick.flows.webhooks.outbound.client import DeliveryResult
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.outbox import SECRET_UNREADABLE, EndpointName
from tallystick.record.sealing import SealBroken, Sealer, secret_row

log = get_logger("tallystick.flows.webhooks.outbound.signing_secrets")

#: At most this many secrets sign, at 48 bytes each: repeated rotations must not make a header too long for the receiver
#: (8 kB in all is common). The newest one and the oldest ones sign.
_SIGNING_SECRETS: Final = 10

#: One alert of an endpoint in this long: a person has to act, and each of its messages meets the same.
ALERT_EVERY_S: Final = 3_600.0

#: What comes of a message that nothing signs: nothing unsigned is ever sent.
UNSIGNED: Final = DeliveryResult(
    result=SECRET_UNREADABLE, detail="no secret of the endpoint could be opened; nothing was sent. Rotate the secret"
)


class SigningSecrets:
    """Opens sealed secrets, with an alert for one that does not open."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._alerts = SampledLines(ALERT_EVERY_S)

    def opened(self, name: EndpointName, sealed: Sequence[tuple[str, bytes]]) -> list[str]:
        """Of (secret id, sealed secret), newest first, those that open. Another one does not keep them from signing:
        after a lost key a merchant rotates."""
        chosen = sealed if len(sealed) <= _SIGNING_SECRETS else [sealed[0], *sealed[1 - _SIGNING_SECRETS :]]
        opened, why = [], None if sealed else "it has none"
        for secret_id, value in chosen:
            try:
                opened.append(self._sealer.open(value, secret_row(*name, secret_id)).decode())
            except SealBroken as error:
                why = str(error)
        if why is not None:
            self._alerts.line(name, partial(_say_unreadable, name, why, len(opened)))
        return opened

    def flush(self) -> None:
        """Report the suppressed alerts now."""
        self._alerts.flush()


def _say_unreadable(name: EndpointName, why: str, others: int, since_last_line: int) -> None:
    log.error(
        "webhook secret cannot be opened",
        alert=True,
        merchant_id=name[0],
        endpoint_id=name[1],
        reason=why,
        secrets_that_open=others,
        since_last_line=since_last_line,
        next="put the sealing key back; if it is lost, the merchant calls …/webhook-endpoints/{id}/rotate-secret",
    )
