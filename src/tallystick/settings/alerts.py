"""Settings of alerts: when a condition holds, who owns it, and where it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.domain.currencies import EXPONENTS
from tallystick.settings.fields import (
    comma_list,
    count,
    has_empty_part,
    is_http_url,
    ms,
    percent,
    secret,
    text,
    variable,
)
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class AlertSettings(Section):
    """Conditions about the whole platform; one worker looks for them."""

    title: ClassVar[str] = "Alerts"

    alert_interval_ms: Annotated[int, ms("How often the worker that has the watch looks for conditions.", ge=50)] = (
        1_000
    )
    alert_owner: Annotated[str, text("Whom alerts are for.")] = "payments-oncall"
    alert_urls: Annotated[
        str | None, secret("Webhooks that take alerts, between commas; signed as Standard Webhooks says.")
    ] = None
    alert_secret: Annotated[
        str | None, secret("What they are signed with: whsec_ and base64 of 24 to 64 random bytes.")
    ] = None
    alert_slack_urls: Annotated[
        str | None, secret("Webhooks that take a text as Slack's incoming webhooks do, between commas; not signed.")
    ] = None
    alert_clear_ms: Annotated[
        int, ms("A condition that holds no longer resolves its alert after this, so that it does not flap.")
    ] = 60_000
    alert_unknown_age_ms: Annotated[
        int, ms("An outcome that is unknown for longer: twice what recovery usually takes to resolve or to park one.")
    ] = 900_000
    alert_unknown_amounts: Annotated[
        str | None, text("One unknown outcome above this, in minor units by currency, as in EUR=100000,JPY=100000.")
    ] = None
    alert_clearing_age_ms: Annotated[
        int, ms("Refunds in flight and money in suspense are resolved within three days, or somebody looks.")
    ] = 259_200_000
    alert_dispute_age_ms: Annotated[
        int, ms("Banks decide a dispute within 120 days; one that is open for longer was forgotten.")
    ] = 10_368_000_000
    alert_dead_letter_ageing_ms: Annotated[
        int, ms("Dead letters that wait for so long, and grow older while events are handled at once.")
    ] = 900_000
    alert_queue_age_ms: Annotated[int, ms("What is due for longer is late: workers take up work within seconds.")] = (
        60_000
    )
    alert_rising_ms: Annotated[int, ms("An age that has grown for so long is rising.", ge=100)] = 120_000
    alert_message_age_ms: Annotated[int, ms("A message that no endpoint could be given for so long.")] = 900_000
    alert_rate_factor: Annotated[
        int, count("Repeats after a release are off their trend at so many times what they were before.", ge=2, le=100)
    ] = 3
    alert_rate_floor_percent: Annotated[
        int, percent("Below this share of repeats nothing is off its trend, however rare they were before.")
    ] = 5
    alert_rate_minimum: Annotated[
        int, count("A share of fewer than so many, before or after a release, says nothing.")
    ] = 200
    alert_watch_gap_ms: Annotated[
        int, ms("Nobody watched for longer than this: it is told when somebody does again.")
    ] = 120_000

    alert_sealing_age_ms: Annotated[
        int, ms("Where the record is sealed: a change that is not, or a head that is not copied, for longer.")
    ] = 120_000

    def faults(self) -> Iterator[str]:
        for name in ("alert_urls", "alert_slack_urls"):
            given = getattr(self, name)
            if given is not None and (has_empty_part(given) or not all(map(is_http_url, comma_list(given)))):
                yield f"{variable(name)}: expected URLs that begin with http:// or https://, between commas"
        if self.alert_urls is not None and self.alert_secret is None:
            yield f"{variable('alert_secret')}: it is needed to sign what {variable('alert_urls')} is sent"
        if self.alert_secret is not None and not self.alert_secret.startswith("whsec_"):
            yield f"{variable('alert_secret')}: expected whsec_ and base64"
        try:
            amounts_by_currency(self.alert_unknown_amounts)
        except ValueError:
            yield f"{variable('alert_unknown_amounts')}: expected amounts in minor units, as in EUR=100000,JPY=100000"


def amounts_by_currency(given: str | None) -> dict[str, int]:
    """``EUR=100000,JPY=500`` as a table. Raises ValueError."""
    table = {}
    for part in comma_list(given or ""):
        currency, _, amount = (piece.strip() for piece in part.partition("="))
        if currency not in EXPONENTS or not amount.isascii() or not amount.isdigit() or currency in table:
            raise ValueError("expected CURRENCY=AMOUNT")
        table[currency] = int(amount)
    return table
