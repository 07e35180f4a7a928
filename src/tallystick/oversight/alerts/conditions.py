"""When each condition holds: functions of the evidence and the settings alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from tallystick.domain.ledger.accounts import disputes_account
from tallystick.domain.rates import PART_OF, RateName
from tallystick.oversight.alerts.evidence import Evidence
from tallystick.record.postgres.operator_reads import Backlog
from tallystick.settings.alerts import amounts_by_currency
from tallystick.settings.load import Settings


class Holds(Struct, frozen=True):
    """A condition holds for something. ``began_at`` None: since it was first seen. ``look``: the command that shows
    this very thing, where one names it; else its rule's."""

    about: str
    summary: str
    began_at: datetime | None = None
    look: str | None = None


Condition = Callable[[Evidence, Settings], Iterator[Holds]]

#: Work that workers take up within seconds, as the numbers name it.
QUEUES: Final = (
    "attempts_to_settle",
    "overdue_deadlines",
    "events_to_process",
    "messages_to_dispatch",
    "queues_to_send",
)


def rejected_transition(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A case that nobody has taken. Cases of one edge are one alert."""
    open_cases: dict[str, tuple[int, datetime, str]] = {}
    for group in evidence.cases:
        if group.open:
            about = f"{group.subject} {group.event}"
            number, newest_at, case_id = open_cases.get(about, (0, group.newest_at, group.example_id))
            open_cases[about] = (number + group.open, max(newest_at, group.newest_at), case_id)
    for about, (number, newest_at, case_id) in open_cases.items():
        yield Holds(about, f"{number} refused {about}", newest_at, f"tallystick rejections show {case_id}")


def case_unassigned(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A case that nobody has taken for a day."""
    if number := evidence.numbers.cases.unassigned:
        yield Holds("cases", f"{number} cases have been nobody's for more than 24 hours")


def dead_letter_old(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """A dead letter that waits for longer than it may."""
    letters, limit_ms = evidence.numbers.waiting("dead_letters"), settings.webhook_dead_letter_alarm_age_ms
    if _is_older(letters, limit_ms):
        yield Holds("inbox", _so_many(letters, "dead letters wait"), _crossed(evidence, letters, limit_ms))


def dead_letters_ageing(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """Dead letters grow older while events are handled at once: latency shows nothing of them."""
    letters, limit_ms = evidence.numbers.waiting("dead_letters"), settings.alert_dead_letter_ageing_ms
    flat = evidence.samples.below("events_to_process", settings.alert_queue_age_ms)
    if flat and _is_older(letters, limit_ms) and evidence.samples.rising("dead_letters"):
        say = _so_many(letters, "dead letters age, while events are handled at once")
        yield Holds("inbox", say, _crossed(evidence, letters, limit_ms))


def unknown_outcome(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """An outcome that is unknown for too long, or about too much money."""
    limits = amounts_by_currency(settings.alert_unknown_amounts)
    age = timedelta(milliseconds=settings.alert_unknown_age_ms)
    old = [each for each in evidence.numbers.unknown if evidence.now - each.oldest_at > age]
    for currency in sorted({each.currency for each in old}):
        rows = [each for each in old if each.currency == currency]
        oldest_at = min(each.oldest_at for each in rows)
        say = f"{sum(each.waiting for each in rows)} unknown outcomes, {sum(each.amount for each in rows)} {currency}"
        yield Holds(f"age {currency}", f"{say} in minor units, the oldest since {_time(oldest_at)}", oldest_at + age)
    for each in evidence.numbers.unknown:
        limit = limits.get(each.currency)
        if limit is not None and each.largest > limit:
            say = f"one unknown outcome of {each.largest} {each.currency} in minor units; the limit is {limit}"
            yield Holds(f"amount {each.currency}", say, each.oldest_at)


def clearing_not_zero(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """A clearing account that does not return to zero: what keeps it away is too old."""
    for account, items in evidence.numbers.items.items():
        is_dispute = account.startswith(disputes_account(""))
        limit_ms = settings.alert_dispute_age_ms if is_dispute else settings.alert_clearing_age_ms
        for each in items:
            if each.oldest_at < evidence.since(limit_ms):
                say = f"{each.waiting} keep {account} at {each.amount} {each.currency} in minor units"
                began_at = each.oldest_at + timedelta(milliseconds=limit_ms)
                yield Holds(f"{account} {each.currency}", f"{say}, the oldest since {_time(each.oldest_at)}", began_at)


def invariant_violated(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A final payment that breaks an invariant."""
    found: dict[str, list[str]] = {}
    for each in evidence.incomplete:
        for name in dict.fromkeys(broken.partition(":")[0] for broken in each.broken):
            found.setdefault(name, []).append(each.payment_id)
    for invariant, payments in found.items():
        say = f"{len(payments)} payments break it, {payments[0]} first"
        yield Holds(invariant, say, look=f"tallystick trace {payments[0]} --rebuild")


def queue_age_rising(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """Work grows older although this worker works."""
    for what in QUEUES:
        work = evidence.numbers.waiting(what)
        if _is_older(work, settings.alert_queue_age_ms) and evidence.samples.rising(what):
            say = _so_many(work, f"{what.replace('_', ' ')} wait")
            yield Holds(what, say, _crossed(evidence, work, settings.alert_queue_age_ms))


def repeats_off_trend(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """Since a release began to work, something is repeated many times as often as before. Replays are repeats: they are
    named alone where repeats as a whole are not off their trend."""
    trend = evidence.trend
    if trend is None:
        return
    found: dict[RateName, Holds] = {}
    for part, whole in PART_OF.items():
        before, after = trend.before.get(whole, 0), trend.after.get(whole, 0)
        if min(before, after) < settings.alert_rate_minimum:
            continue
        was, now = trend.before.get(part, 0) / before, trend.after.get(part, 0) / after
        if now * 100 >= settings.alert_rate_floor_percent and now >= settings.alert_rate_factor * was:
            say = f"{part} are {now:.1%} of {whole} since {trend.release.name}, and were {was:.1%} before"
            found[part] = Holds(part, say, trend.release.at)
    if "repeats" in found:
        found.pop("replays", None)
    yield from found.values()


def clocks_apart(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """The clock of a host that serves or works differs from another one by more than the margin."""
    for clock in sorted({each.clock for each in evidence.clocks}):
        found = [each for each in evidence.clocks if each.clock == clock]
        worst = max(found, key=lambda each: abs(each.skew_ms))
        say = f"{worst.skew_ms} ms apart, give or take {worst.uncertainty_ms}, on the host {worst.host}"
        others = len({each.host for each in found}) - 1
        more = f", and apart on {others} more" if others else ""
        yield Holds(clock, f"{say}{more}; {settings.clock_margin_ms} ms are allowed")


def conflicting_event(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A provider's event came again with other content."""
    if evidence.other_bytes is not None:
        found = evidence.other_bytes
        newest = "" if found.event_id is None else f", {found.event_id} last"
        say = f"{found.number} arrivals under a known id had other content in the last hour{newest}"
        look = None if found.event_id is None else f"tallystick provider-events show {found.event_id}"
        yield Holds("inbox", say, found.newest_at, look)


def nobody_watched(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """No worker had the watch: nothing was looked for."""
    if evidence.gap is not None:
        since, until = evidence.gap
        if until - since > timedelta(milliseconds=settings.alert_watch_gap_ms):
            began_at = since + timedelta(milliseconds=settings.alert_watch_gap_ms)
            yield Holds("watch", f"nobody watched from {_time(since)} to {_time(until)}", began_at)


def circuit_open(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """Calls of some process to a provider are refused there, because it does not answer. Accounts of one provider are
    one alert."""
    by_provider: dict[str, list[str]] = {}
    for each in evidence.circuits:
        states = {"open": each.open, "half open": each.half_open}
        said = " and ".join(f"{state} in {number}" for state, number in states.items() if number)
        if said:
            by_provider.setdefault(each.provider, []).append(f"{each.account} {said} of {each.processes} processes")
    for provider, accounts in by_provider.items():
        yield Holds(provider, f"{provider} does not answer; its circuit of account {', '.join(accounts)}")


def contract_drift(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A provider sends what is not read here as it is sent."""
    for provider in sorted({each.provider for each in evidence.numbers.drift}):
        number = sum(each.count for each in evidence.numbers.drift if each.provider == provider)
        yield Holds(provider, f"{number} fields of {provider} differed in 24 hours")


def audit_incomplete(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """Of the final payments of a window, not all have what must stand beside them."""
    for window, each in evidence.numbers.completeness.items():
        if each.complete < each.final:
            yield Holds(window, f"{each.final - each.complete} of {each.final} final payments lack something")


def endpoint_given_up(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """Merchants' webhook endpoints that failed for so long that they were disabled."""
    if number := evidence.numbers.endpoints.given_up:
        yield Holds("endpoints", f"{number} webhook endpoints were given up; their merchants hear of nothing")


def messages_late(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """Messages to merchants wait for long."""
    work = evidence.numbers.waiting("queues_to_send")
    if _is_older(work, settings.alert_message_age_ms):
        say = _so_many(work, "queues of messages wait")
        yield Holds("messages", say, _crossed(evidence, work, settings.alert_message_age_ms))


def settlement_file_missing(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """The next settlement file of an account with a calendar should be there."""
    for each in evidence.numbers.missing_files:
        newest = "none ever came" if each.last_at is None else f"the newest came {_time(each.last_at)}"
        yield Holds(
            f"{each.provider}/{each.account}",
            f"the next settlement file of {each.provider}/{each.account} is missing; {newest}",
            each.since,
        )


_BREAKS: Final = {
    "gap": "statements are missing between them",
    "opening": "it does not open as the other one closed",
    "number_taken": "it has the number of the other one, and is not posted",
    "doubled": "it is the other one again, and is not posted",
}


def bank_statement_break(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """Bank statements of an account that do not go on from each other. A double is told, and nothing is missing."""
    for each in evidence.numbers.statement_breaks:
        difference = f", {each.amount} {each.currency} in minor units" if each.amount else ""
        say = f"{each.after} after {each.before}: {_BREAKS[each.kind]}{difference}"
        look = f"tallystick settlements show {each.after_file}"
        yield Holds(f"{each.provider}/{each.account} {each.currency} {each.after}", say, each.since, look)


def stated_balance_off(evidence: Evidence, _: Settings) -> Iterator[Holds]:
    """A provider states another balance than the ledger has, and it is not for what is on its way."""
    for each in evidence.numbers.stated_differences:
        causes = ", ".join(f"{cause.cause} {cause.amount}" for cause in each.causes)
        say = f"{each.provider} states {each.stated} {each.currency} in minor units, {each.account} has {each.ledger}"
        look = f"tallystick reconciliation explain {each.provider}"
        yield Holds(f"{each.account} {each.currency}", f"{say}; {causes}", each.since, look)


def sealing_late(evidence: Evidence, settings: Settings) -> Iterator[Holds]:
    """The record is not sealed, or heads are not copied, for too long."""
    lag, limit_ms = evidence.numbers.sealing, settings.alert_sealing_age_ms
    if lag is None:
        return
    if lag.sealing_ms > limit_ms:
        yield Holds("sealing", f"changes have not been sealed for {lag.sealing_ms // 1_000} s")
    if lag.copying_ms is not None and (lag.copying_ms < 0 or lag.copying_ms > limit_ms):
        how = "cannot be copied" if lag.copying_ms < 0 else f"have not been copied for {lag.copying_ms // 1_000} s"
        yield Holds("copying", f"heads {how}: what was sealed meanwhile is not proved outside")


def _is_older(work: Backlog, limit_ms: int) -> bool:
    return work.waiting > 0 and work.longest_ms is not None and work.longest_ms > limit_ms


def _crossed(evidence: Evidence, work: Backlog, limit_ms: int) -> datetime:
    """When the oldest became too old."""
    return evidence.numbers.at - timedelta(milliseconds=(work.longest_ms or 0) - limit_ms)


def _so_many(work: Backlog, what: str) -> str:
    return f"{work.waiting} {what}, the oldest for {(work.longest_ms or 0) // 1_000} s"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
