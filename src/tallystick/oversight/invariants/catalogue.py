"""The list of invariants: what must be true of the record at every moment, despite retries, races and crashes.

``verify``, the tests, the demo and the drills all read this list. An invariant looks at one stream or payment after
another (a pure function), at one merchant's ledger (a statement), at the platform (a statement), or at several of
these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from msgspec import Struct, field

from tallystick.domain.ledger.accounts import settled_account
from tallystick.domain.settlement import PAYABLE
from tallystick.oversight.invariants import exponents, history, instructions, ledger, messages, recovery
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.inbox import TAKE_UP_EVERY_MS
from tallystick.record.postgres.migrate import APP_ROLE
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.stream_record import StreamRecord
from tallystick.settings.load import Settings

#: The name of a statement that is built from the declared kinds.
ORPHANS_OF_SUBJECTS: Final = "orphans_of_subjects"

StreamLook = Callable[[StreamRecord], Iterable[Finding]]
PaymentLook = Callable[[PaymentRecord], Iterable[Finding]]


class LimitedLook(Protocol):
    """A look at a payment that depends on settings."""

    def __call__(self, record: PaymentRecord, settings: Settings) -> Iterable[Finding]: ...


class Invariant(Struct, frozen=True, kw_only=True):
    """``says`` is the invariant in one sentence. Statements are named in ``sql/invariants.sql``: each returns a row
    (subject_id, detail) for every breach."""

    name: str
    says: str
    of_stream: StreamLook | None = None
    of_payment: PaymentLook | None = None
    of_payment_by_settings: LimitedLook | None = None
    of_merchant: tuple[str, ...] = ()
    of_platform: tuple[str, ...] = ()
    given: Callable[[Settings], tuple[object, ...]] = field(
        default=lambda _: ()
    )  # parameters of the platform statements

    def looks_at_payment(self, settings: Settings) -> list[PaymentLook]:
        """What finds the breaches in the stream of a payment, in their order."""
        looks: list[PaymentLook] = [look for look in (self.of_stream, self.of_payment) if look is not None]
        if self.of_payment_by_settings is not None:
            looks.append(partial(self.of_payment_by_settings, settings=settings))
        return looks


INVARIANTS: Final = (
    # The ledger.
    Invariant(
        name="balances_equal_transfers",
        says="Every balance is the sum of its transfers, and no account is missing.",
        of_merchant=("balances_equal_transfers",),
    ),
    Invariant(
        name="debits_equal_credits",
        says="In every ledger and currency, all debits together equal all credits.",
        of_merchant=("debits_equal_credits",),
    ),
    Invariant(
        name="transfers_have_transitions",
        says="Every ledger row belongs to a step of history.",
        of_merchant=("transfers_without_transition",),
    ),
    Invariant(
        name="postings_follow_the_chart",
        says="Every step of history has exactly the ledger rows that its edge posts.",
        of_stream=ledger.postings_follow_the_chart,
    ),
    Invariant(
        name="holds_match",
        says="The ledger holds each open authorization in full, and nothing once it is captured, canceled or expired.",
        of_payment=ledger.holds_match,
    ),
    Invariant(
        name="captured_money_is_owed",
        says="The merchant is owed captured and accepted late money, less reversals, refunds and disputes not won; the"
        " provider owes us that money and any suspense, less reversals, paid refunds and withdrawn disputes.",
        of_payment=ledger.captured_money_is_owed,
    ),
    Invariant(
        name="refunds_in_flight_match",
        says="The clearing account of refunds holds exactly the pending refunds.",
        of_payment=ledger.refunds_in_flight_match,
    ),
    Invariant(
        name="disputes_are_reserved",
        says="The reserve holds what open disputes may cost, and their clearing account what was withdrawn of it.",
        of_payment=ledger.disputes_are_reserved,
    ),
    Invariant(
        name="disputed_money_is_known",
        says="Every movement of a dispute's money has its amount in the dispute's currency.",
        of_payment=ledger.disputed_money_is_known,
    ),
    Invariant(
        name="suspense_is_explained",
        says="Money in suspense has its late effect in history, with a rejection and an alert.",
        of_payment=ledger.suspense_is_explained,
    ),
    Invariant(
        name="captured_within_authorized",
        says="The captured amount is at most the authorized one, which is at most the requested one.",
        of_payment=ledger.captured_within_authorized,
    ),
    Invariant(
        name="refunds_within_captured",
        says="Refunds, succeeded and pending, are at most the captured amount and accepted late money, and add up to"
        " the payment's amounts.",
        of_payment=ledger.refunds_within_captured,
    ),
    Invariant(
        name="one_currency_per_payment",
        says="A payment's refunds, attempts and ledger rows are all in its currency and at its provider.",
        of_payment=ledger.one_currency_per_payment,
    ),
    Invariant(
        name="exponents_are_unchanged",
        says="This release counts the currency of each open payment with the decimals that the payment was made with.",
        of_payment=exponents.exponents_are_unchanged,
    ),
    # The history.
    Invariant(
        name="history_replays_to_state",
        says="What history set, folded in order, is exactly each stored subject.",
        of_stream=history.history_replays_to_state,
    ),
    Invariant(
        name="erased_on_request",
        says="Personal fields that are gone were erased by a request that somebody else approved.",
        of_merchant=("erased_without_request",),
    ),
    Invariant(
        name="bytes_erased_on_request",
        says="Bytes of providers' events that are gone were erased by such a request.",
        of_platform=("events_erased_without_request",),
    ),
    Invariant(
        name="answers_erased_on_request",
        says="Bytes of providers' answers that are gone were erased by such a request.",
        of_merchant=("answers_erased_without_request",),
    ),
    Invariant(
        name="legal_edges_only",
        says="Every step of history is an edge of the lifecycle tables, and starts where the one before it ended.",
        of_stream=history.legal_edges_only,
    ),
    Invariant(
        name="versions_without_gaps",
        says="Versions count 1, 2, 3 …, and the stored version is the last.",
        of_stream=history.versions_without_gaps,
    ),
    Invariant(
        name="rejections_met_history",
        says="Every refused transition names an existing version, in the state that it had.",
        of_stream=history.rejections_met_history,
    ),
    Invariant(
        name="answers_are_named",
        says="Every kept answer of a provider is byte for byte the one that the step which it explains names.",
        of_merchant=("answers_without_step",),
    ),
    Invariant(
        name="alerts_have_cases",
        says="Every refused transition that alerts has its case, and every case its refused transition.",
        of_merchant=("alerts_without_case",),
    ),
    Invariant(
        name="acts_have_their_change",
        says="Every act of an operator that a change carried out has that change in the history of its target.",
        of_platform=("acts_without_change",),
    ),
    # The instructions.
    Invariant(
        name="claimed_instructions_have_subject",
        says="Every claimed key has its subject and an attempt or a rejection, and each of those has its claimed key.",
        of_payment=instructions.claimed_instructions_have_subject,
        of_merchant=("instructions_without_subject", "instructions_without_deed"),
    ),
    Invariant(
        name="final_instructions_answered",
        says="Every final instruction, and no other, has its recorded answer, which agrees with history.",
        of_payment=instructions.final_instructions_answered,
    ),
    Invariant(
        name="one_effect_per_instruction",
        says="An instruction had at most one effect at the provider.",
        of_payment=instructions.one_effect_per_instruction,
    ),
    Invariant(
        name="one_payment_per_charge",
        says="No two payments of a merchant have the same charge of one account.",
        of_merchant=("shared_charges",),
    ),
    # What is open, and that recovery or a person has it.
    Invariant(
        name="waiting_subjects_have_open_attempts",
        says="A payment or refund that waits for a provider has the open attempt that it waits for.",
        of_payment=recovery.waiting_subjects_have_open_attempts,
    ),
    Invariant(
        name="open_attempts_are_awaited",
        says="No attempt stays open after its payment or refund has moved on without it.",
        of_payment_by_settings=recovery.open_attempts_are_awaited,
    ),
    Invariant(
        name="open_attempts_are_watched",
        says="Every open attempt is scheduled or on the in-doubt list, never both; a closed one is neither.",
        of_payment=recovery.open_attempts_are_watched,
    ),
    Invariant(
        name="holds_are_watched",
        says="Every authorization that holds a customer's money has a deadline.",
        of_payment=recovery.holds_are_watched,
    ),
    Invariant(
        name="in_doubt_lane_has_no_overdue",
        says="No attempt stays on the in-doubt list past the alarm age.",
        of_payment_by_settings=recovery.in_doubt_lane_has_no_overdue,
    ),
    # Messages, and events of providers.
    Invariant(
        name="steps_are_told",
        says="Every step whose edge has a message has exactly that message, with the subject as of that version.",
        of_stream=messages.steps_are_told,
    ),
    Invariant(
        name="events_have_their_story",
        says="Every event of a provider has its arrivals and, once closed, the try or action that closed it.",
        of_platform=("events_without_story",),
    ),
    Invariant(
        name="open_events_have_no_overdue",
        says="No event is due for longer than the alarm age.",
        of_platform=("overdue_events",),
        given=lambda settings: (settings.webhook_dead_letter_alarm_age_ms, settings.clock_shift_ms),
    ),
    Invariant(
        name="dead_letters_have_no_overdue",
        says="No dead letter is older than the alarm age.",
        of_platform=("overlooked_dead_letters",),
        given=lambda settings: (settings.webhook_dead_letter_alarm_age_ms, settings.clock_shift_ms),
    ),
    Invariant(
        name="foreign_events_are_not_ours",
        says="A foreign event has neither a payment nor a mark of ours, and no payment has its charge.",
        of_platform=("foreign_events_of_ours",),
        given=lambda settings: (2 * TAKE_UP_EVERY_MS, settings.clock_shift_ms),
    ),
    # Settlements.
    Invariant(
        name="settlements_have_evidence",
        says="Every settled batch and merchant's part is what the evidence of its files comes to, row by row, and what"
        " its transfers moved.",
        of_platform=("settled_without_evidence",),
        given=lambda _: ([*PAYABLE, "late"], settled_account("")),
    ),
    Invariant(
        name="statements_have_evidence",
        says="Every bank statement is what the newest evidence of its entries comes to, what arrived with it, and what"
        " its transfers moved; nothing else moves money at a bank.",
        of_platform=("statements_without_evidence",),
    ),
    # The store.
    Invariant(
        name="nothing_is_orphaned",
        says="No row of history, ledger, schedule or answers is without its owner.",
        of_merchant=("orphans", ORPHANS_OF_SUBJECTS),
    ),
    Invariant(
        name="history_is_append_only",
        says="The application's role can neither change nor delete instructions, answers, history, refusals or ledger.",
        of_platform=("mutable_history",),
        given=lambda _: (APP_ROLE,),
    ),
    Invariant(
        name="sealed_values_have_a_key",
        says="Every sealed value was sealed by a key that is registered, or that an operator gave up.",
        of_platform=("secrets_without_key", "events_without_key", "answers_without_key", "actions_without_key"),
    ),
    Invariant(
        name="guards_are_in_place",
        says="The database has the primary keys and checks that the journal relies on.",
        of_platform=("missing_guards",),
    ),
)
