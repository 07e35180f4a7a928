"""Settings of recovery: lookups, deadlines, and what an operator has to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, flag, ms, text
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class RecoverySettings(Section):
    """Resubmissions, look-ups, deadlines, and attempts in doubt."""

    title: ClassVar[str] = "Recovery"

    resubmit_limit: Annotated[int, count("Submissions after the first; then the instruction fails.", ge=0, le=100)] = 2
    record_was_restored: Annotated[
        bool,
        flag("After an older back-up was restored: no instruction fails because recovery gave up; a person decides."),
    ] = False
    recovery_interval_ms: Annotated[int, ms("Pause between two reads of what is due.", ge=10)] = 500
    recovery_batch: Annotated[int, count("Attempts leased at once; a lease must outlast the batch.")] = 200
    recovery_concurrency: Annotated[int, count("Provider look-ups at once from one worker.")] = 64
    recovery_lease_ms: Annotated[
        int, ms("A worker that died frees its attempts after this; longer than a batch takes.", ge=100)
    ] = 60_000
    recovery_backoff_base_ms: Annotated[int, ms("First wait before looking up an unknown outcome.", ge=10)] = 1_000
    recovery_backoff_cap_ms: Annotated[int, ms("Longest wait between two lookups.", ge=10)] = 60_000
    recovery_checks_limit: Annotated[
        int, count("Lookups without a result before an operator must decide: about 6 minutes with the waits above.")
    ] = 12
    pending_poll_ms: Annotated[int, ms("First wait before looking up a pending outcome.", ge=10)] = 2_000
    pending_deadline_ms: Annotated[int, ms("An attempt that is pending for longer than a day needs an operator.")] = (
        86_400_000
    )
    action_deadline_ms: Annotated[int, ms("A customer who has not acted in an hour has left; the payment expires.")] = (
        3_600_000
    )
    authorization_deadline_ms: Annotated[
        int, ms("Card holds last about 7 days; one that was not captured is released then.")
    ] = 604_800_000
    in_doubt_owner: Annotated[str, text("The owner of attempts that recovery could not resolve.")] = "payments-oncall"
    in_doubt_alarm_age_ms: Annotated[int, ms("Verify reports an attempt that is in doubt for longer.")] = 3_600_000
    in_doubt_hasten_interval_ms: Annotated[
        int, ms("Reading a payment in doubt asks the provider at most this often.")
    ] = 1_000
