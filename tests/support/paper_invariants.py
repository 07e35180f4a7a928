"""The invariants, asked of a record that exists on paper alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from tallystick.decisions import settlements
from tallystick.decisions.alerts import acknowledge, cleared, raised, resolve
from tallystick.decisions.bank_statements import StatementName, StatementSums, statement_posted
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.reconciliation_messages import noted
from tallystick.domain.alert import Alert, Found
from tallystick.domain.api_keys import LETTERS
from tallystick.domain.bank_statement import Arrived, BankStatement
from tallystick.domain.change import Change
from tallystick.domain.compiled_replay import replayed
from tallystick.domain.reconciliation import Reconciliation
from tallystick.domain.replay import HistoryStep
from tallystick.domain.settlement import SettledBatch, Settlement
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import history, ledger, messages
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.payment_record import PaymentRecord, ScheduledAttempt
from tallystick.record.postgres.stream_record import StoredMessage, StoredRejection, StoredTransfer
from tallystick.record.postgres.subject_rows import json_text
from tests.support.paper_record import PaperRecord

LOOKS: tuple[Callable[[Any], object], ...] = (
    ledger.captured_within_authorized,
    ledger.refunds_within_captured,
    ledger.one_currency_per_payment,
    ledger.postings_follow_the_chart,
    ledger.holds_match,
    ledger.refunds_in_flight_match,
    ledger.captured_money_is_owed,
    ledger.disputes_are_reserved,
    ledger.suspense_is_explained,
    ledger.disputed_money_is_known,
    history.versions_without_gaps,
    history.legal_edges_only,
    history.history_replays_to_state,
    history.rejections_met_history,
    messages.steps_are_told,
)


def _steps(change: Change) -> list[HistoryStep]:
    return [
        HistoryStep(
            merchant_id=step.merchant_id,
            subject_id=step.subject_id,
            version=step.version,
            change_id=change.change_id,
            subject=step.subject,
            stream_id=step.stream_id,
            from_state=step.from_state,
            to_state=step.to_state,
            event=step.event,
            at=step.at,
            change=json_text(step.change),
            evidence=None if step.evidence is None else json_text(step.evidence),
            key_kind=change.key_kind,
        )
        for step in change.transitions
    ]


def histories_beside(record: PaperRecord) -> list[tuple[HistoryStep, ...]]:
    """The histories of the other streams that its changes wrote: its cases."""
    return [tuple(_steps(other)) for change in record.changes for other in change.beside]


def history_of_an_alert() -> list[HistoryStep]:
    """Opened, acknowledged, cleared, opened again, resolved: an alert stands alone."""
    at = utc_now()
    changes: list[Change] = []

    def decided(change: Change | None) -> Alert:
        assert change is not None
        changes.append(change)
        alert = change.one(Alert)
        assert alert is not None
        return alert

    def cause() -> Cause:
        return Cause(change_id=new_id("chg"), at=at + timedelta(seconds=len(changes)), trigger="watch", actor="worker")

    found = Found(
        name="unknown_outcomes", about="simulator", severity="page", owner="payments", summary="2 of 10", began_at=at
    )
    alert = decided(raised(None, new_id("alr"), "operators", found, cause()))
    alert = decided(acknowledge(alert, "ada", cause()))
    alert = decided(cleared(alert, cause()))
    again = replace(found, summary="3 of 10", began_at=at + timedelta(seconds=9))
    alert = decided(raised(alert, alert.alert_id, "operators", again, cause()))
    decided(resolve(alert, "ada", cause()))
    return [step for change in changes for step in _steps(change)]


def histories_of_a_settlement() -> list[Sequence[HistoryStep]]:
    """A batch that is counted, posted, supplemented and posted again; its merchant's part; and a bank's statement."""
    at = utc_now()
    batch_steps: list[Change] = []
    part_steps: list[Change] = []

    def cause() -> Cause:
        number = len(batch_steps) + len(part_steps)
        return Cause(change_id=new_id("chg"), at=at + timedelta(seconds=number), trigger="evidence", actor="worker")

    name = settlements.BatchName(provider="simulator", account="main", batch="b1", currency="EUR")
    batch: SettledBatch | None = None
    part: Settlement | None = None
    batch_id, part_id = new_id("stb"), new_id("stm")
    roots = {"first": "1a", "second": "2b"}
    for files in (1, 2):
        sums = [
            settlements.EvidenceSum(
                merchant_id="acme", part="charges", rows=files, gross=1_000 * files, fee=30 * files, tax=files
            )
        ]
        counted = dict(list(roots.items())[:files])
        batch_steps.append(settlements.counted(batch, "operators", batch_id, name, counted, sums, cause()))
        batch = batch_steps[-1].one(SettledBatch)
        assert batch is not None
        change = settlements.part_posted(part, batch, "acme", part_id, sums, cause())
        assert change is not None
        part_steps.append(change)
        part = change.one(Settlement)
        batch_steps.append(settlements.completed(batch, cause()))
        batch = batch_steps[-1].one(SettledBatch)
    every = (batch_steps, part_steps, _of_a_statement(at), [_of_a_movement(at)])
    return [[step for change in changes for step in _steps(change)] for changes in every]


def _of_a_movement(at: datetime) -> Change:
    """A row that disagrees with a refund, of which its merchant is told."""
    cause = Cause(change_id=new_id("chg"), at=at, trigger="settlement", actor="worker")
    said = Reconciliation(
        merchant_id="m",
        reconciliation_id=new_id("rcn"),
        version=1,
        state="exception",
        payment_id=new_id("pay"),
        subject_id=new_id("re"),
        kind="refund",
        reason="amount",
        provider="simulator",
        account="main",
        batch="b",
        currency="EUR",
        amount=-401,
        fee=3,
        net=-404,
        file_id=new_id("stl"),
        position=7,
        evidence_version=1,
        created_at=at,
        updated_at=at,
    )
    return noted(None, said, cause)


def _of_a_statement(at: datetime) -> list[Change]:
    """A payout that arrived, with money that is known only later."""
    name, statement_id = StatementName(provider="bank", account="main", batch="S1", currency="EUR"), new_id("bst")
    statement: BankStatement | None = None
    changes: list[Change] = []
    for number, arrived in enumerate((900, 1_400), 1):
        cause = Cause(change_id=new_id("chg"), at=at + timedelta(seconds=number), trigger="evidence", actor="worker")
        sums = StatementSums(
            comparisons=number,
            root=f"{number}a",
            entries=2 + number,
            arrivals=[Arrived("simulator", arrived)],
            fees=number,
            unexplained=1_400 - arrived,
            written_off=-number,
        )
        change = statement_posted(statement, "operators", statement_id, name, sums, cause)
        assert change is not None
        changes.append(change)
        statement = change.one(BankStatement)
    return changes


def as_read(record: PaperRecord) -> PaymentRecord:
    """The record on paper, as the invariants read it from the database."""
    stored = record.stored
    steps = sorted((s for c in record.changes for s in _steps(c)), key=lambda s: (s.subject_id, s.version))
    histories = {subject_id: tuple(group) for subject_id, group in groupby(steps, key=lambda s: s.subject_id)}
    # The schedule is recovery's, and no part of history.
    kept = [replace(each, schedule=type(each.schedule)()) for each in stored.attempts]
    return PaymentRecord(
        head=stored.payment,
        others=(*stored.refunds, *stored.disputes, *kept),
        due_at=None,
        attempts=[
            ScheduledAttempt(attempt=each, next_check_at=None, parked_at=None, parked_for_ms=None, settled_for_ms=0)
            for each in kept
        ],
        histories=histories,
        replays={subject_id: replayed(each) for subject_id, each in histories.items()},
        transfers=[
            StoredTransfer(
                stream_id=each.stream_id,
                subject_id=each.subject_id,
                version=each.version,
                leg=each.leg,
                kind=each.kind,
                debit=each.debit,
                credit=each.credit,
                amount=each.amount,
                currency=each.currency,
            )
            for each in record.transfers
        ],
        rejections=[
            StoredRejection(
                stream_id=each.stream_id,
                rejection_id=each.rejection_id,
                subject_id=each.subject_id,
                state=each.state,
                version=each.version,
                event=each.event,
                origin=each.origin,
                alert=each.alert,
                idempotency_key=each.idempotency_key,
                at=each.at,
            )
            for each in record.rejections
        ],
        answers={},
        messages=[
            StoredMessage(
                stream_id=each.stream_id,
                version=each.version,
                subject_id=each.subject_id,
                message_id=each.message_id,
                type=each.type,
                body=each.body,
                api_version=each.api_version,
                traceparent=each.traceparent,
                key_kind=None if each.key_kind is None else LETTERS[each.key_kind],
            )
            for each in record.messages
        ],
    )


def broken(record: PaperRecord) -> list[Finding]:
    """What the invariants of a payment find."""
    read = as_read(record)
    return [finding for look in LOOKS for finding in look(read)]  # type: ignore[attr-defined]  # generators
