"""The result of a demonstration: both books, the history and every payment, compared with what is expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tallystick.lab.demo.clients import ClientCounts
from tallystick.lab.demo.stories import Order
from tallystick.oversight.invariants import InvariantReport


class Check(Struct, frozen=True):
    """One check: what was seen, and every difference."""

    name: str
    seen: str
    differences: Sequence[str] = ()

    @property
    def held(self) -> bool:
        """Whether there is no difference."""
        return not self.differences


class Finding(Struct, frozen=True):
    """One defect that reconciliation found: as what, about which payment, and by how much, in minor units."""

    cause: str
    payment_id: str
    amount: int
    currency: str

    @property
    def said(self) -> str:
        """In one line."""
        return f"{self.cause} {self.payment_id} {self.amount} {self.currency}"


class DemoResult(Struct, frozen=True, kw_only=True):
    """Figures for the table, and the checks below it."""

    figures: Sequence[tuple[str, str]]
    checks: Sequence[Check]
    drill: Sequence[tuple[str, str, str, str]] = ()  # the replayed dead letter: checkpoint, time, result, detail
    findings: Sequence[Finding] = ()  # of the day's settlement

    @property
    def held(self) -> bool:
        """Whether every check held."""
        return all(check.held for check in self.checks)


def figures(
    counts: ClientCounts, unknown_met: int, unknown_resolved: int, webhooks: Mapping[str, int], elapsed_s: float
) -> list[tuple[str, str]]:
    """What happened, in numbers."""
    return [
        ("payments requested", f"{counts.payments:,}"),
        ("HTTP calls made", f"{counts.calls:,}"),
        ("responses replayed, byte for byte", f"{counts.replays:,}"),
        ("retries while in flight (409)", f"{counts.in_flight_refusals:,}"),
        ("responses not final yet (202)", f"{counts.not_final_answers:,}"),
        ("clients that disconnected", f"{counts.hang_ups:,}"),
        ("connections lost", f"{counts.lost_connections:,}"),
        ("transitions rejected, and recorded (409)", f"{counts.refused_transitions:,}"),
        ("unknown outcomes", f"{unknown_met:,}"),
        ("unknown outcomes resolved", f"{unknown_resolved:,}"),
        ("webhooks received", f"{webhooks['received']:,}"),
        ("redelivered, or other bytes under a known id", f"{webhooks['repeated']:,}"),
        ("events applied", f"{webhooks['applied']:,}"),
        ("events without effect (already known, or overtaken)", f"{webhooks['no_news']:,}"),
        ("events in conflict, for review", f"{webhooks['conflicts']:,}"),
        ("dead letters", f"{webhooks['dead_letters']:,}"),
        ("time", f"{elapsed_s:.1f} s"),
    ]


def difference(order: Order, payment: Mapping[str, Any]) -> str | None:
    """The difference between a payment and its story's end, or None."""
    story, state = order.story, str(payment["state"])
    if state not in story.ends:
        return f"{order.key} ({story.name}): is {state}, must be {' or '.join(story.ends)}"
    if payment["in_doubt"]:
        return f"{order.key} ({story.name}): is in doubt"
    due = {
        "amount": order.amount,
        "amount_captured": story.captured(state, order.amount),
        "amount_refunded": story.refunded(order.amount),
        "amount_refund_pending": 0,
        "amount_reversed": story.reversed(order.amount),
    }
    for name, amount in due.items():
        if payment[name] != amount:
            return f"{order.key} ({story.name}): {name} is {payment[name]}, must be {amount}"
    return None


def ends_check(orders: Sequence[Order], payments: Sequence[Mapping[str, Any]]) -> Check:
    """Every order has one payment, which ended as its story says."""
    made: dict[str, list[Mapping[str, Any]]] = {}
    for payment in payments:
        made.setdefault(payment["metadata"].get("order", ""), []).append(payment)
    differences = []
    states: Counter[str] = Counter()
    for order in orders:
        found = made.get(order.key, [])
        states.update(str(payment["state"]) for payment in found)
        if len(found) != 1:
            differences.append(f"{order.key} ({order.story.name}): has {len(found)} payments, must have 1")
        elif (wrong := difference(order, found[0])) is not None:
            differences.append(wrong)
    seen = ", ".join(f"{count:,} {state}" for state, count in states.most_common())
    return Check("every payment ended as expected", seen, differences)


def charged_once(charges: Sequence[Mapping[str, Any]]) -> Check:
    """No payment's money was held or taken twice in the acquirer's own books."""
    with_money = Counter(str(c["payment_id"]) for c in charges if c["authorized"] > 0 or c["captured"] > 0)
    twice = [f"{payment_id}: {count} charges" for payment_id, count in with_money.items() if count > 1]
    seen = f"{len(twice)} duplicates in {len(charges):,} charges"
    return Check("no duplicate charge in the acquirer's own books", seen, twice)


def balanced(accounts: Sequence[Mapping[str, Any]]) -> Check:
    """Debits equal credits in each currency."""
    debits: Counter[str] = Counter()
    credits: Counter[str] = Counter()
    for account in accounts:
        debits[account["currency"]] += account["debits"]
        credits[account["currency"]] += account["credits"]
    wrong = [f"{c}: debits {debits[c]}, credits {credits[c]}" for c in debits if debits[c] != credits[c]]
    return Check("the ledger balances in every currency", f"{len(accounts)} accounts", wrong)


def of_report(name: str, report: InvariantReport) -> Check:
    """A whole verification as one check."""
    wrong = [f"{v.invariant}: {v.subject_id}: {v.detail}" for v in report.violations]
    return Check(name, f"{len(report.results)} invariants, {report.checked['payments']:,} payments", wrong)
