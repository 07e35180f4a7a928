"""Every alert of the platform, in one table: the product looks for them, and Prometheus' rules and Grafana's dashboard
are printed from it. Each has a runbook under its name in ``docs/operate/alerts/``.

At most twelve page. Everything else is a notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.domain.alert import Found, Severity
from tallystick.oversight.alerts import conditions
from tallystick.oversight.alerts.conditions import Condition
from tallystick.oversight.alerts.evidence import Evidence
from tallystick.settings.load import Settings

#: More would be ignored: each one that pages is about money, evidence, or work that stands still.
PAGES_AT_MOST: Final = 12


class Rule(Struct, frozen=True, kw_only=True):
    """One alert. ``says``: the condition in one sentence. ``ends_by_itself``: it is resolved when the condition holds
    no longer; else a person resolves it, because what happened has happened. ``look``: the command to begin with.
    ``expression``: the same condition, or the
    nearest there is, over the numbers of ``/metrics``; ``for_s``: it has to hold for so long there."""

    name: str
    says: str
    severity: Severity
    holds: Condition
    look: str
    expression: str
    for_s: int = 0
    ends_by_itself: bool = True


_LATE: Final = "tallystick_waiting_seconds"
_QUEUES: Final = "|".join(conditions.QUEUES)


def _repeated(over: str, offset: str = "") -> str:
    """The share of instructions that repeat a key."""
    name = "tallystick_instructions_total"
    return f'sum(rate({name}{{answer!="first"}}[{over}]{offset})) / sum(rate({name}[{over}]{offset}))'


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        name="rejected_transition",
        says="The record refused a step that no client asked for, and nobody has taken the case.",
        severity="page",
        holds=conditions.rejected_transition,
        look="tallystick rejections list",
        expression=(
            'sum by (machine, event) (increase(tallystick_rejected_transitions_total{origin!="client"}[5m])) > 0'
        ),
    ),
    Rule(
        name="unknown_outcome",
        says="It is not known whether a call to a provider had its effect: for too long, or about too much money.",
        severity="page",
        holds=conditions.unknown_outcome,
        look="tallystick in-doubt list",
        expression="max by (currency) (tallystick_unknown_seconds) > 900",
    ),
    Rule(
        name="dead_letter_old",
        says="A provider's event that could not be applied waits for a person for too long.",
        severity="page",
        holds=conditions.dead_letter_old,
        look="tallystick dead-letters list",
        expression=f'{_LATE}{{what="dead_letters"}} > 3600',
    ),
    Rule(
        name="dead_letters_ageing",
        says="Dead letters grow older while events are handled at once, so that latency shows nothing of them.",
        severity="page",
        holds=conditions.dead_letters_ageing,
        look="tallystick dead-letters list",
        expression=(
            f'{_LATE}{{what="dead_letters"}} > 900 and on() (max({_LATE}{{what="events_to_process"}}) < 60'
            f' or absent({_LATE}{{what="events_to_process"}}))'
        ),
        for_s=120,
    ),
    Rule(
        name="clearing_not_zero",
        says="A clearing account does not return to zero: a refund, late money or a dispute is open for too long.",
        severity="page",
        holds=conditions.clearing_not_zero,
        look="tallystick late-money list; tallystick disputes list",
        expression=(
            'tallystick_clearing_seconds{account!~"disputes:.*"} > 259200'
            ' or tallystick_clearing_seconds{account=~"disputes:.*"} > 10368000'
        ),
    ),
    Rule(
        name="invariant_violated",
        says="A final payment breaks an invariant: its history, postings, messages and answers do not agree.",
        severity="page",
        holds=conditions.invariant_violated,
        look="tallystick verify",
        expression='tallystick_final_payments{window="1h"} - tallystick_complete_payments{window="1h"} > 0',
        ends_by_itself=False,
    ),
    Rule(
        name="queue_age_rising",
        says="Work is late and grows older, although workers run.",
        severity="page",
        holds=conditions.queue_age_rising,
        look="tallystick status",
        expression=(f'{_LATE}{{what=~"{_QUEUES}"}} > 60 and deriv({_LATE}{{what=~"{_QUEUES}"}}[2m]) > 0'),
        for_s=120,
    ),
    Rule(
        name="repeats_off_trend",
        says="Since a release, instructions, events or submissions are repeated many times as often as before.",
        severity="page",
        holds=conditions.repeats_off_trend,
        look="tallystick release list",
        expression=f"{_repeated('15m')} > 0.05 and {_repeated('15m')} > 3 * ({_repeated('1d', ' offset 1h')})",
        for_s=300,
        ends_by_itself=False,
    ),
    Rule(
        name="clocks_apart",
        says="A host's clock differs from the database's or a provider's: no absence at a provider is believed.",
        severity="page",
        holds=conditions.clocks_apart,
        look="tallystick doctor",
        expression="max by (clock) (tallystick_clocks_apart) > 0",
    ),
    Rule(
        name="conflicting_event",
        says="A provider's event came again under its id with other content: somebody may have the webhook secret.",
        severity="page",
        holds=conditions.conflicting_event,
        look="tallystick provider-events list",
        expression='sum by (provider) (increase(tallystick_webhook_arrivals_total{result="other_bytes"}[5m])) > 0',
        ends_by_itself=False,
    ),
    Rule(
        name="case_unassigned",
        says="A refused step has been nobody's for more than 24 hours.",
        severity="page",
        holds=conditions.case_unassigned,
        look="tallystick rejections list",
        expression="max(tallystick_cases_unassigned) > 0",
    ),
    Rule(
        name="nobody_watched",
        says="No worker had the watch: nothing was looked for. Only Prometheus tells it while it lasts.",
        severity="page",
        holds=conditions.nobody_watched,
        look="tallystick status",
        expression=(
            "time() - max(tallystick_numbers_read_timestamp_seconds) > 120"
            " or absent(tallystick_numbers_read_timestamp_seconds)"
        ),
        for_s=60,
        ends_by_itself=False,
    ),
    Rule(
        name="audit_incomplete",
        says="Not every final payment of a window has all that must stand beside it.",
        severity="notice",
        holds=conditions.audit_incomplete,
        look="tallystick verify",
        expression="tallystick_final_payments - tallystick_complete_payments > 0",
    ),
    Rule(
        name="circuit_open",
        says="A provider does not answer, and is not called until single probes are answered.",
        severity="notice",
        holds=conditions.circuit_open,
        look="tallystick status",
        expression='sum by (provider) (tallystick_provider_circuit{state!="closed"}) > 0',
    ),
    Rule(
        name="contract_drift",
        says="A provider sends fields or values that this release does not know.",
        severity="notice",
        holds=conditions.contract_drift,
        look="tallystick contract-drift",
        expression="sum by (provider) (tallystick_provider_contract_drift) > 0",
    ),
    Rule(
        name="endpoint_given_up",
        says="A merchant's webhook endpoint failed for so long that it was disabled.",
        severity="notice",
        holds=conditions.endpoint_given_up,
        look="tallystick webhooks endpoints",
        expression='max(tallystick_webhook_endpoints{state="given_up"}) > 0',
    ),
    Rule(
        name="messages_late",
        says="Messages to merchants wait for long.",
        severity="notice",
        holds=conditions.messages_late,
        look="tallystick status",
        expression=f'{_LATE}{{what="queues_to_send"}} > 900',
    ),
    Rule(
        name="settlement_file_missing",
        says="The next settlement file of an account with a calendar should be there, and is not.",
        severity="notice",
        holds=conditions.settlement_file_missing,
        look="tallystick settlements list",
        expression="max by (provider, account) (tallystick_settlement_file_missing_seconds) >= 0",
    ),
    Rule(
        name="bank_statement_break",
        says="Bank statements do not go on from each other: one is missing, is doubled, or opens with another balance.",
        severity="notice",
        holds=conditions.bank_statement_break,
        look="tallystick settlements list --provider bank",
        expression="sum by (provider, account, kind) (tallystick_bank_statement_breaks) > 0",
    ),
    Rule(
        name="stated_balance_off",
        says="A provider states another balance than the ledger has, and what is on its way does not explain it.",
        severity="notice",
        holds=conditions.stated_balance_off,
        look="tallystick reconciliation explain PROVIDER",
        expression="sum by (account, currency) (tallystick_stated_balance_off_minor_units) > 0",
    ),
    Rule(
        name="sealing_late",
        says="The record is not sealed, or its heads are not copied: nothing of what comes meanwhile is proved.",
        severity="notice",
        holds=conditions.sealing_late,
        look="tallystick audit status",
        expression="max by (what) (tallystick_sealing_lag_seconds) > 120",
    ),
)

RULE: Final = {rule.name: rule for rule in RULES}


class Look:
    """Looks for every condition, and remembers since when it has seen one that does not say since when it holds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._seen: dict[tuple[str, str], datetime] = {}

    def at(self, evidence: Evidence) -> list[Found]:
        """Everything that holds now."""
        found = list(self._found(evidence))
        holding = {(each.name, each.about) for each in found}
        self._seen = {key: at for key, at in self._seen.items() if key in holding}
        return found

    def _found(self, evidence: Evidence) -> Iterator[Found]:
        for rule in RULES:
            for each in rule.holds(evidence, self._settings):
                first_seen = self._seen.setdefault((rule.name, each.about), evidence.now)
                yield Found(
                    name=rule.name,
                    about=each.about,
                    severity=rule.severity,
                    owner=self._settings.alert_owner,
                    summary=f"{each.summary}; {each.look or rule.look}",
                    began_at=each.began_at or first_seen,
                )
