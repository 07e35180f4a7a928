"""The kinds of subjects: one declaration each, read by everything that treats subjects alike.

The builder, the journal, reads, replay, ``verify``, messages, the contract and OpenAPI follow from these rows. Every
subject has a *stream*: its payment, or itself where it stands alone under its merchant. Keys of ledger and messages,
the order of messages and ``verify`` go by stream.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from tallystick.domain.alert import Alert
from tallystick.domain.bank_statement import BankStatement
from tallystick.domain.lifecycles.alert import ALERT
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.lifecycles.bank_statement import BANK_STATEMENT
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.lifecycles.reconciliation import RECONCILIATION
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.lifecycles.rejected_case import REJECTED_CASE
from tallystick.domain.lifecycles.settled_batch import SETTLED_BATCH
from tallystick.domain.lifecycles.settlement import SETTLEMENT
from tallystick.domain.lifecycles.table import Machine
from tallystick.domain.provider_keys import key_of_instruction
from tallystick.domain.reconciliation import Reconciliation, ReconciliationView, reconciliation_view
from tallystick.domain.rejected_case import RejectedCase
from tallystick.domain.settlement import SettledBatch, Settlement
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund, Subject
from tallystick.domain.views import DisputeView, PaymentView, RefundView, dispute_view, payment_view, refund_view


@dataclass(frozen=True, kw_only=True, eq=False)
class SubjectKind:
    """One kind of subject.

    ``struct`` has ``merchant_id``, ``version``, ``state`` and the fields ``id_field`` and ``stream_field``; one that
    posts has ``currency`` too, and one with ``updated_at`` gets the time of its last step there. ``table`` has a column
    for each field but ``no_column``. ``view`` renders it for messages, as a ``shown_as``; None for a kind without
    messages. ``keeps_evidence``: its steps carry their evidence, such as a provider's raw answer. ``derived``: fields
    that usually follow from the others; history and rows leave them out where they do.
    """

    struct: type[Any]
    machine: Machine
    id_field: str
    id_prefix: str
    stream_field: str
    table: str
    view: Callable[[Any], Struct] | None = None
    shown_as: type[Struct] | None = None
    no_column: frozenset[str] = frozenset()
    keeps_evidence: bool = False
    derived: Mapping[str, Callable[[Mapping[str, Any]], Any]] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """Its name in history: the machine's."""
        return self.machine.name

    @cached_property
    def stands_alone(self) -> bool:
        """Whether a subject of this kind is its own stream."""
        return self.id_field == self.stream_field

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The fields that its table keeps, in the struct's order."""
        return tuple(name for name in self.struct.__struct_fields__ if name not in self.no_column)

    @cached_property
    def has_updated_at(self) -> bool:
        """Whether it has the time of its last step."""
        return "updated_at" in self.struct.__struct_fields__

    @cached_property
    def not_in_steps(self) -> frozenset[str]:
        """What a step sets and history does not repeat: the time is a column of its row; the rest has no column."""
        return self.no_column | {"updated_at"}

    @cached_property
    def opened_with(self) -> tuple[tuple[str, Any], ...]:
        """The fields that version 1 sets, each with its default: what has it is left out of history."""
        defaults = {
            each.name: each.default if each.default_factory is NODEFAULT else each.default_factory()
            for each in fields(self.struct)
        }
        return tuple((name, defaults[name]) for name in self.history_fields if name != self.id_field)

    @cached_property
    def history_fields(self) -> tuple[str, ...]:
        """The fields that history sets. The others are columns of its rows, or not part of history."""
        apart = {"merchant_id", self.stream_field, "version", "state", "updated_at", *self.no_column}
        return tuple(name for name in self.struct.__struct_fields__ if name not in apart)

    @cached_property
    def has_created_at(self) -> bool:
        """Whether it has the time of its first step, which history leaves out where it is that of the step's row."""
        return "created_at" in self.struct.__struct_fields__

    @cached_property
    def set_by_history(self) -> frozenset[str]:
        """``history_fields`` as a set."""
        return frozenset(self.history_fields)

    @cached_property
    def id_of(self) -> Callable[[Subject], str]:
        """Reads a subject's id."""
        return attrgetter(self.id_field)


_DECLARED: Final[dict[str, SubjectKind]] = {}
_BY_STRUCT: Final[dict[type[Any], SubjectKind]] = {}

#: Every declared kind by name, in the order in which a change writes them.
KINDS: Final[Mapping[str, SubjectKind]] = _DECLARED


def declare(kind: SubjectKind) -> SubjectKind:
    """Register a kind. Raises ValueError if its name or its struct is already declared."""
    if kind.name in _DECLARED or kind.struct in _BY_STRUCT:
        raise ValueError(f"a subject kind is declared twice: {kind.name}")
    _DECLARED[kind.name] = kind
    _BY_STRUCT[kind.struct] = kind
    MACHINES[kind.name] = kind.machine
    return kind


def withdraw(kind: SubjectKind) -> None:
    """Remove a kind: for tests that declare their own."""
    del _DECLARED[kind.name], _BY_STRUCT[kind.struct], MACHINES[kind.name]


def kind_of(subject: Subject) -> SubjectKind:
    """The subject's kind. KeyError for a struct that no kind declares."""
    return _BY_STRUCT[type(subject)]


def heads() -> list[SubjectKind]:
    """The kinds whose subjects are streams of their own."""
    return [kind for kind in KINDS.values() if kind.stands_alone]


def members_of(head: SubjectKind) -> list[SubjectKind]:
    """The other kinds whose subjects are in a stream of this kind."""
    return [kind for kind in KINDS.values() if kind.stream_field == head.id_field and kind is not head]


PAYMENT_KIND: Final = declare(
    SubjectKind(
        struct=Payment,
        machine=PAYMENT,
        id_field="payment_id",
        id_prefix="pay",
        stream_field="payment_id",
        table="payment",
        view=lambda payment: payment_view(payment, in_doubt=False),
        shown_as=PaymentView,
    )
)
REFUND_KIND: Final = declare(
    SubjectKind(
        struct=Refund,
        machine=REFUND,
        id_field="refund_id",
        id_prefix="re",
        stream_field="payment_id",
        table="refund",
        view=lambda refund: refund_view(refund, in_doubt=False),
        shown_as=RefundView,
    )
)
DISPUTE_KIND: Final = declare(
    SubjectKind(
        struct=Dispute,
        machine=DISPUTE,
        id_field="dispute_id",
        id_prefix="dp",
        stream_field="payment_id",
        table="dispute",
        view=dispute_view,
        shown_as=DisputeView,
    )
)
ATTEMPT_KIND: Final = declare(
    SubjectKind(
        struct=Attempt,
        machine=ATTEMPT,
        id_field="attempt_id",
        id_prefix="att",
        stream_field="payment_id",
        table="attempt",
        no_column=frozenset({"schedule"}),  # recovery's: columns of its own, on the database's clock
        keeps_evidence=True,
        derived={"provider_key": key_of_instruction},
    )
)
#: A stream of its own: what people do about a case takes no version of what it is about, and waits for none.
REJECTED_CASE_KIND: Final = declare(
    SubjectKind(
        struct=RejectedCase,
        machine=REJECTED_CASE,
        id_field="case_id",
        id_prefix="case",
        stream_field="case_id",
        table="rejected_case",
    )
)

#: A stream of its own, under the operators' id: it is about the platform.
ALERT_KIND: Final = declare(
    SubjectKind(
        struct=Alert,
        machine=ALERT,
        id_field="alert_id",
        id_prefix="alr",
        stream_field="alert_id",
        table="alert",
    )
)

#: Streams of their own: what a provider's batch moved, in the platform's book and in each merchant's.
SETTLED_BATCH_KIND: Final = declare(
    SubjectKind(
        struct=SettledBatch,
        machine=SETTLED_BATCH,
        id_field="batch_id",
        id_prefix="stb",
        stream_field="batch_id",
        table="settled_batch",
    )
)
SETTLEMENT_KIND: Final = declare(
    SubjectKind(
        struct=Settlement,
        machine=SETTLEMENT,
        id_field="settlement_id",
        id_prefix="stm",
        stream_field="settlement_id",
        table="settlement",
    )
)

#: A stream of its own, in the platform's book: what the entries of a bank statement moved.
BANK_STATEMENT_KIND: Final = declare(
    SubjectKind(
        struct=BankStatement,
        machine=BANK_STATEMENT,
        id_field="statement_id",
        id_prefix="bst",
        stream_field="statement_id",
        table="bank_statement",
    )
)

#: A stream of its own, under its merchant: what a row of a settlement file was to one of their payments, told once.
RECONCILIATION_KIND: Final = declare(
    SubjectKind(
        struct=Reconciliation,
        machine=RECONCILIATION,
        id_field="reconciliation_id",
        id_prefix="rcn",
        stream_field="reconciliation_id",
        table="reconciliation",
        view=reconciliation_view,
        shown_as=ReconciliationView,
    )
)
