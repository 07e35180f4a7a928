"""How the contract opens: what it is for, what must never happen, and what comes of every failure.

The sentences are written by hand. Invariants and tests are named, and a test checks that they exist; times are computed
from the default settings.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tallystick.contract import markdown
from tallystick.kit.backoff import doubled_ms
from tallystick.record.journal import OUTCOME_PATIENCE
from tallystick.settings.load import Settings


class Never(NamedTuple):
    """Something that must not happen. ``invariants``: what ``tallystick verify`` finds it by. ``test``: one of those
    that fail where it can happen."""

    what: str
    invariants: tuple[str, ...]
    test: str


NEVER: Final = (
    Never(
        "An instruction has two effects at a provider, whatever is retried, lost, late or killed.",
        ("one_effect_per_instruction", "one_payment_per_charge"),
        "tests/guarantees/processes/test_kill_under_load.py::test_kill_under_load",
    ),
    Never(
        "Two requests with one key are two instructions.",
        ("claimed_instructions_have_subject",),
        "tests/guarantees/races/test_one_key.py::test_fifty_clients_over_two_journals",
    ),
    Never(
        "An instruction that was accepted is forgotten: it ends, or a person has it on a list.",
        ("open_attempts_are_watched", "waiting_subjects_have_open_attempts", "in_doubt_lane_has_no_overdue"),
        "tests/guarantees/crash/test_instructions.py::test_killed_at_every_point",
    ),
    Never(
        "An outcome that is not known is called a decline or a success.",
        ("history_replays_to_state", "final_instructions_answered"),
        "tests/guarantees/fault_table/test_fault_table.py::test_cell",
    ),
    Never(
        "A final answer changes: status and body are replayed byte for byte, with `[erased]` for what is erased.",
        ("final_instructions_answered",),
        "tests/interfaces/api/test_replay.py::test_a_create_is_replayed_byte_for_byte",
    ),
    Never(
        "Money moves in the record without a step of history, or a step without its postings.",
        ("transfers_have_transitions", "postings_follow_the_chart", "debits_equal_credits"),
        "tests/guarantees/second_opinion/test_on_paper.py::test_the_second_opinion_notices_a_wrong_posting",
    ),
    Never(
        "More is refunded than was captured.",
        ("refunds_within_captured",),
        "tests/guarantees/races/test_one_payment.py::test_twenty_refunds_of_sixty_percent",
    ),
    Never(
        "A state is left over an edge that the lifecycle does not have, or history is rewritten.",
        ("legal_edges_only", "versions_without_gaps"),
        "tests/guarantees/races/test_one_payment.py::test_history_cannot_be_changed_by_the_application",
    ),
    Never(
        "A webhook has its effect twice, or is acknowledged and lost.",
        ("events_have_their_story", "open_events_have_no_overdue"),
        "tests/guarantees/crash/test_webhooks.py::test_killed_at_every_point_of_processing",
    ),
    Never(
        "A step that has a message is not reported, or is reported with another state than it had.",
        ("steps_are_told",),
        "tests/guarantees/golden/test_messages.py::test_a_life_tells_what_it_always_told",
    ),
    Never(
        "A row of a settlement file or bank statement counts twice, or moves money without evidence of it.",
        ("settlements_have_evidence", "statements_have_evidence"),
        "tests/flows/reconciliation/test_in_turns.py::test_two_files_at_once",
    ),
    Never(
        "An act of an operator is done twice under its key, or without a record of who did it and why.",
        ("acts_have_their_change",),
        "tests/flows/operations/test_acts.py::test_it_is_done_once_for_a_key",
    ),
    Never(
        "What was erased can be read again, or something is gone that no second person let be erased.",
        ("erased_on_request", "bytes_erased_on_request"),
        "tests/guarantees/erasure/test_nothing_is_left.py::test_everything_is_erased_and_goes_on",
    ),
    Never(
        "Where the record is sealed: whoever owns the database changes what is sealed, and `tallystick audit verify`"
        " names nothing.",
        (),
        "tests/oversight/audit/test_tampering.py::test_a_rewritten_record_is_named",
    ),
    Never(
        "A card number reaches the database, a log or an error, whoever sent it.",
        (),
        "tests/guarantees/card_numbers/test_words.py::test_nothing_keeps_a_card_number",
    ),
)


class Failure(NamedTuple):
    """One row of the table of failures. ``final``: whether the answer ends the instruction. ``arrives``: what may still
    arrive, and until when. ``stays``: the records that remain."""

    case: str
    answer: str
    final: str
    arrives: str
    stays: str
    acts: str


_OUTCOME: Final = "the outcome, by the provider's answer, its event or a look-up"
_OPEN: Final = "key, payment, attempt, history"
_NOTHING: Final = "nothing"

FAILURES: Final = (
    Failure(
        "The request is malformed, not allowed, or names an amount that cannot be sent",
        "400, 401, 403, 404, 413, 415, 422",
        "yes, of this request; the key stays free",
        _NOTHING,
        _NOTHING,
        "the client corrects it",
    ),
    Failure(
        "The client sends too much, its body does not arrive, or the platform is full or imports that file already",
        "429 `rate_limited`, 408 `request_timeout`, 400 `body_incomplete`, 503 `overloaded`,"
        " 409 `settlement_file_busy`",
        "no: nothing was executed; the key stays free",
        _NOTHING,
        _NOTHING,
        "the client, with the same key, after `Retry-After` where there is one",
    ),
    Failure(
        "The payment's provider is not configured, or the database is away before the first commit",
        "503 `not_ready`",
        "no: nothing was executed; the key stays free",
        _NOTHING,
        _NOTHING,
        "an operator; the client sends the same request again",
    ),
    Failure(
        "The database is lost during a commit, or a defect stops the request",
        "503 `outcome_unknown`, 500 `internal_error`",
        "no: it may have been executed",
        _OUTCOME,
        f"{_OPEN}, if it was committed",
        "the client sends the same request again; recovery ends what was committed",
    ),
    Failure(
        "The API process is killed, or the connection to the client breaks",
        "none",
        "no: it may have been executed",
        _OUTCOME,
        f"{_OPEN}, if it was committed",
        "the client sends the same request again; recovery ends what was committed",
    ),
    Failure(
        "The same request comes again while the first is being sent",
        "409 `instruction_in_flight`",
        "no",
        "the first request's answer, within {in_flight}",
        "those of the first",
        "the client, after `Retry-After`",
    ),
    Failure(
        "The key was used for another request",
        "422 `idempotency_key_reused`",
        "yes, of this request",
        _NOTHING,
        "those of the first",
        "the client: it has two instructions under one key",
    ),
    Failure(
        "The payment's state or amounts do not allow it",
        "409 `transition_rejected`",
        "yes",
        _NOTHING,
        "key, rejection, recorded answer",
        "the client reads the payment",
    ),
    Failure(
        "The provider declines",
        "201 or 200, the payment `declined` or back where it was, or the refund `failed`, with `failure`",
        "yes",
        "money that moved at the provider all the same: to suspense, with an alert",
        f"{_OPEN}, recorded answer, message",
        "the client, under another key, if `failure.retryable`",
    ),
    Failure(
        "The provider cannot be reached, refuses the call, or asks to wait: nothing was sent",
        "202",
        "no",
        "the outcome: it is sent at most {submissions} times in all, a few seconds apart. While the provider's circuit"
        " is open or it asked to wait no submission is spent, for up to {patience}",
        f"{_OPEN}; in the end `failed`, retryable",
        "recovery",
    ),
    Failure(
        "The provider times out, resets the connection, answers 5xx or what cannot be read",
        "202 with `in_doubt`",
        "no: it may or may not have happened",
        f"{_OUTCOME}, within {{unknown}}, or later where the provider asks to wait; after that a person has it",
        f"{_OPEN}; the attempt is `unknown`, and scheduled or on the in-doubt list",
        "recovery, then the owner of the in-doubt list",
    ),
    Failure(
        "The provider accepted it, and decides later",
        "202",
        "no",
        f"{_OUTCOME}, within {{pending}}; after that a person has it",
        f"{_OPEN}; the attempt is `pending`",
        "the provider, then the owner of the in-doubt list",
    ),
    Failure(
        "The customer has to act",
        "202 with `next_action`",
        "no",
        "the outcome, within {action}; then it is released at the provider and `expired`",
        f"{_OPEN}; the payment is `requires_action`",
        "the customer",
    ),
    Failure(
        "The provider says that our key was used for something else, most likely after a restore",
        "202 with `in_doubt`",
        "no",
        _OUTCOME,
        f"{_OPEN}; the attempt is on the in-doubt list",
        "the owner of the in-doubt list",
    ),
    Failure(
        "A disputed payment, a refund or capture that fails late, a refund made elsewhere",
        "the recorded one stays",
        "yes",
        "disputes and reversals, for as long as the provider reports them; each is told by a message",
        "history, postings, message; the payment's state and amounts move on",
        "the merchant",
    ),
    Failure(
        "Money moves on a closed payment",
        "the recorded one stays",
        "yes",
        "until an operator has accepted or returned it",
        "rejection, posting to `suspense:<provider>`, alert",
        "an operator: `tallystick late-money`",
    ),
    Failure(
        "A row of a provider's settlement file disagrees with a payment",
        "the recorded one stays",
        "yes",
        "`payment.settled`, once an operator has resolved the row or a later file brings the rest",
        "the row, its evidence, `unexplained:<provider>`, `reconciliation.exception`",
        "an operator: `tallystick reconciliation open`",
    ),
    Failure(
        "A settlement file was wrong, and an operator takes it back after it was posted",
        "the recorded one stays",
        "yes",
        "`payment.settlement_withdrawn` of each settlement that was told; `payment.settled`, when another file has it",
        "the file's rows, their evidence, the act with its reason, and the postings back",
        "an operator: `tallystick settlements withdraw`",
    ),
    Failure(
        "A provider's event cannot be processed",
        "200 to the provider, once its bytes are stored",
        "no: tried again, then a dead letter",
        "the replay",
        "the event's bytes, sealed, its tries and checkpoints",
        "an operator: `tallystick dead-letters`",
    ),
    Failure(
        "A receiver of messages does not answer 2xx",
        "none",
        "no: tried again for about three days",
        "the delivery",
        "the message and its tries",
        "the merchant mends the receiver",
    ),
)


class Times(NamedTuple):
    """Bounds in milliseconds, by the settings.

    ``in_flight``: of a call to the provider, from the commit. ``answer``: of the HTTP answer, where both commits are
    tried for as long as they may be. ``commit``: of one statement of the journal.
    ``unknown``: until an outcome in doubt is known or a person has it.
    """

    in_flight: int
    answer: int
    commit: int
    unknown: int
    pending: int
    action: int
    patience: int


#: A client's time-out, in seconds. A provider may take its 10 s, and a database that fails over as long again; a
#: shopper waits no longer. One that ends sooner loses nothing: the same request again finds the outcome.
CLIENT_TIMEOUT_S: Final = 30


def longest_times(settings: Settings) -> Times:
    """The longest times that these settings allow. Look-ups that are not answered take the request time-out each."""
    in_flight = settings.send_window_ms + settings.provider_request_timeout_ms
    commits = settings.journal_commit_timeout_ms * (1 + OUTCOME_PATIENCE)
    looked_up = (0, *range(settings.recovery_checks_limit))  # the first wait comes with the time-out itself
    waits = sum(
        doubled_ms(checks, settings.recovery_backoff_base_ms, settings.recovery_backoff_cap_ms) for checks in looked_up
    )
    look_ups = settings.recovery_checks_limit + 1
    asking = look_ups * (settings.provider_request_timeout_ms + settings.recovery_interval_ms)
    return Times(
        in_flight=in_flight,
        answer=commits + settings.provider_wait_ms + settings.provider_request_timeout_ms,
        commit=settings.journal_commit_timeout_ms,
        unknown=in_flight + waits + asking,
        pending=settings.pending_deadline_ms,
        action=settings.action_deadline_ms,
        patience=settings.provider_circuit_patience_ms,
    )


def readable(time_ms: int) -> str:
    """A time as people say it, rounded up to its unit."""
    for unit, unit_ms in (("h", 3_600_000), ("min", 60_000)):
        if time_ms >= 2 * unit_ms or time_ms == unit_ms:
            return f"{-(-time_ms // unit_ms)} {unit}"
    return f"{-(-time_ms // 1_000)} s"


_PURPOSE: Final = """
## What it is for

Tallystick takes instructions that move money, sends them to payment providers, and guarantees one financial outcome for
each. This page says what a client may rely on. It is for engineers who build on the API, and for those who operate it.

Out of scope: carts, stock, quotes, tax, and the identity checks that a provider asks of its merchants.

### Goals

| goal | figure |
| --- | --- |
| instructions with two effects, or with none and an answer that says otherwise | 0 |
| acknowledged webhooks without an effect and without a place on a list | 0 |
| difference between the books and a provider's | 0, or named row by row |
| a final answer to the same request again | the same bytes, for ever |
| an outcome in doubt is known, or a person has it | within {unknown}, and the waits that the provider asks for |
| an outcome that its provider keeps pending is known, or a person has it | within {pending} |
"""

_NEVER_HEAD: Final = """
## What must never happen

`tallystick verify` looks for each of these in the record by its invariants; the test fails where it can happen.
"""

_FAILURES_HEAD: Final = """
## What comes of a failure

*final*: whether the answer ends the instruction. The same request with the same key is always safe to send again.
The chapter [Faults](#faults) has each provider's own answers.
"""

_TIMES_TEXT: Final = """
### Times

With the default settings:

- A client's time-out should be {client_timeout} s. A shorter one loses nothing: the same request again finds out.
- Without a fault an answer takes as long as the provider. If the database is away during both commits it takes
  {answer}, because commits are retried. Each statement, connection or batch that hangs then adds some {commit}.
- A call to a provider can have an effect until {in_flight} after its commit. Until then a second request gets 409.
- An outcome in doubt is known, or a person has it, within {unknown}, if the provider answers no look-up at all. Each
  submission has that time; there are at most {submissions}. While the provider asks to wait (`Retry-After`) no look-up
  is made or counted: these waits come on top.
- The longest wait without a person is that of a refund or payment that its provider keeps pending: {pending}.
"""


def opening() -> str:
    """Purpose, goals, what must never happen, failures and times."""
    settings = Settings()
    times = longest_times(settings)
    said = {name: readable(value) for name, value in times._asdict().items()}
    said |= {"submissions": str(settings.resubmit_limit + 1), "client_timeout": str(CLIENT_TIMEOUT_S)}
    return "\n\n".join(
        (
            _PURPOSE.strip("\n").format(**said),
            _NEVER_HEAD.strip("\n"),
            markdown.table(("never", "invariants", "test"), map(_never_row, NEVER)),
            _FAILURES_HEAD.strip("\n"),
            markdown.table(
                ("failure", "answer", "final", "what may still arrive", "records that remain", "who acts next"),
                [[cell.format(**said) for cell in row] for row in FAILURES],
            ),
            _TIMES_TEXT.strip("\n").format(**said),
        )
    )


def _never_row(never: Never) -> tuple[str, str, str]:
    return never.what, markdown.code(never.invariants), f"`{never.test}`"
