"""Final payments as COPY text, many thousand a second.

One payment of each kind goes through the real decisions and the journal's own rows, with marks for everything that
differs from payment to payment. Its rows become patterns; a filled payment is those patterns with its own values. So
the rows are what the platform would have written, and ``verify`` holds on them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.domain.requests.fingerprint import fingerprint
from tallystick.domain.subjects import Attempt, Payment
from tallystick.kit.ids import derived_id
from tallystick.lab.bench.workload import (
    MERCHANT,
    PATH,
    TERMS,
    approval,
    create_change,
    decline,
    new_instruction,
    payment_body,
    random_key,
    settled_change,
)
from tallystick.record.postgres.batch import Entry
from tallystick.record.postgres.personal import KEY_BYTES, plain_text, sealed_text
from tallystick.record.postgres.subject_rows import STATEMENTS, Row, attempt_row, payment_row

#: The benchmark's own merchant has half of all payments, the others share the rest.
MERCHANTS: Final = (MERCHANT, *(f"shop-{number:02d}" for number in range(1, 20)))

#: Payment number n was made n times this long after the first: 5 million are a month.
SPACING: Final = timedelta(milliseconds=500)
FIRST_AT: Final = datetime(2025, 1, 1)  # in UTC; naive, because that is written out faster

#: Orders have as many digits as those of an ordinary shop.
FIRST_ORDER: Final = 10_000

_FIRST_MS: Final = int(FIRST_AT.replace(tzinfo=UTC).timestamp() * 1000)
_SPACING_MS: Final = SPACING // timedelta(milliseconds=1)
_SENDING: Final = timedelta(milliseconds=TERMS.send_window_ms + TERMS.request_timeout_ms)
_SETTLING: Final = timedelta(milliseconds=TERMS.settling_ms)

#: Longest time between a payment's two commits.
ANSWER_WITHIN_MS: Final = 900

#: Kinds of payments: currency, whether the provider approves, and how many of 100 there are.
KINDS: Final = (("EUR", True, 60), ("USD", True, 25), ("JPY", True, 7), ("EUR", False, 8))

#: Tables in the order in which a chunk fills them, by the statement that writes them otherwise.
TABLES: Final = {
    "instruction": "insert_instructions",
    "transition": "insert_transitions",
    "payment": "insert_payments",
    "attempt": "insert_attempts",
    "transfer": "insert_transfers",
    "response": "insert_responses",
    "outbox": "insert_messages",
}

#: Columns that the journal does not write: these messages went out long ago, so no dispatcher finds them waiting.
_LATER_COLUMNS: Final = {"outbox": ("dispatched_at",)}

#: In a step's JSON.
_SEALED: Final = re.compile(r'"personal":"[^"]*"')

_COLUMNS: Final = re.compile(r"INSERT INTO (\w+) \(([^)]*)\)")

#: Marks are recognisable wherever they turn up: in a column, in JSON, in an answer's body.
_AMOUNT: Final = 987_654_321
_CREATED_AT: Final = datetime(2001, 2, 3, 4, 5, 6, 111_111, tzinfo=UTC)
_SETTLED_AT: Final = datetime(2001, 2, 3, 4, 5, 7, 222_222, tzinfo=UTC)
_NAMES: Final = ("merchant", "key", "create", "settle", "reference", "order")

#: Rows leave out what follows from the prefix of an id.
_PAYMENT: Final = "pay_<<payment>>"
_ATTEMPT: Final = "att_<<attempt>>"


class Kind(Struct, frozen=True):
    """One kind of payment: a pattern for each table, for its request and for its personal fields, and the accounts that
    its transfers move the amount between."""

    currency: str
    body: str
    personal: str
    patterns: dict[str, str]
    accounts: list[tuple[str, str]]


class Chunk(Struct, frozen=True):
    """Rows of each table as COPY text, and what they add to balances: (merchant, account, currency) to debits and
    credits."""

    tables: dict[str, bytes]
    balances: dict[tuple[str, str, str], list[int]]


def columns(table: str) -> list[str]:
    """The columns that a row has from its first day. Raises LookupError where its statement is not an insert."""
    found = _COLUMNS.match(STATEMENTS[TABLES[table]])
    if found is None or found.group(1) != table:
        raise LookupError(f"{TABLES[table]} does not insert into {table}")
    return [*(name.strip() for name in found.group(2).split(",")), *_LATER_COLUMNS.get(table, ())]


def kinds() -> list[Kind]:
    """Every kind, in the order of ``KINDS``."""
    return [_kind(currency, approved) for currency, approved, _ in KINDS]


def fill_chunk(known: list[Kind], first: int, count: int, seed: int) -> Chunk:
    """Payments number ``first`` to ``first + count - 1``; the same numbers give the same payments."""
    rng = random.Random(seed)
    lines: dict[str, list[str]] = {table: [] for table in TABLES}
    balances: dict[tuple[str, str, str], list[int]] = {}
    chosen = rng.choices(known, [weight for _, _, weight in KINDS], k=count)
    for number, kind in enumerate(chosen, first):
        values = _values(rng, number, kind)
        for table, pattern in kind.patterns.items():
            lines[table].append(pattern % values)
        for debit, credit in kind.accounts:
            merchant, amount = values["merchant"], values["amount"]
            balances.setdefault((merchant, debit, kind.currency), [0, 0])[0] += amount
            balances.setdefault((merchant, credit, kind.currency), [0, 0])[1] += amount
    return Chunk({table: "".join(rows).encode() for table, rows in lines.items()}, balances)


def merchant_by(rng: random.Random) -> str:
    """The merchant of a payment."""
    return MERCHANT if rng.random() < 0.5 else rng.choice(MERCHANTS[1:])


def amount_by(rng: random.Random) -> int:
    """The amount of a payment, in minor units."""
    return int(100 + rng.random() * 50_000)


def _values(rng: random.Random, number: int, kind: Kind) -> dict[str, Any]:
    """What is this payment's own."""
    # A moment within its millisecond: times have microseconds, as a clock's have.
    created_at = FIRST_AT + number * SPACING + timedelta(microseconds=1 + int(rng.random() * 998))
    settled_at = created_at + timedelta(microseconds=int(20_000 + rng.random() * ANSWER_WITHIN_MS * 1000))
    deadline = created_at + _SENDING
    merchant = merchant_by(rng)
    key = random_key(rng)
    random_tail = f"{rng.getrandbits(320):080x}"
    # Ids as this platform mints them: the millisecond, version 7, and random bits.
    stem = f"{_FIRST_MS + number * _SPACING_MS:012x}7"
    attempt = f"{stem}002b{random_tail[15:30]}"
    payment, settle = f"pay_{stem}001a{random_tail[:15]}", f"chg_{stem}0058{random_tail[60:75]}"
    values: dict[str, Any] = {
        "merchant": merchant,
        "key": key,
        "payment": payment,
        "attempt": f"att_{attempt}",
        "create": f"chg_{stem}0049{random_tail[45:60]}",
        "settle": settle,
        "message": derived_id("msg", settle, payment),
        "reference": f"bnc_{attempt}",
        "order": str(FIRST_ORDER + number),
        "amount": amount_by(rng),
        "created_at": _rfc3339(created_at),
        "settled_at": _rfc3339(settled_at),
        "deadline": _rfc3339(deadline),
        "settled_after": _rfc3339(deadline + _SETTLING),
    }
    values["fingerprint"] = fingerprint("POST", PATH, (kind.body % values).encode()).hex()
    personal_key = rng.getrandbits(8 * KEY_BYTES).to_bytes(KEY_BYTES, "big")
    values["personal_key"] = personal_key.hex()
    values["personal"] = sealed_text(personal_key, (kind.personal % values).encode(), merchant, payment)
    return values


def _kind(currency: str, approved: bool) -> Kind:
    body = payment_body(_AMOUNT, currency, _mark("order"), approved=approved)
    create, outcome = _both_commits(body, approved)
    opened, closed = Entry(create).rows, Entry(outcome).rows
    settled = outcome.one(Payment)
    assert settled is not None
    [instruction] = opened.instructions
    sealed = next(found[0] for row in opened.transitions if (found := _SEALED.search(row[14])))
    marks = _marks(instruction[5]) | {sealed: '"personal":"%(personal)s"'}
    attempt = (
        *attempt_row(outcome.every(Attempt)[0])[:21],
        _CREATED_AT,
        _Pattern("%(deadline)s"),
        _Pattern("%(settled_after)s"),
        None,
        None,
        0,
        None,
        None,
        None,
    )
    rows: dict[str, list[Row]] = {
        "instruction": opened.instructions,
        "transition": [*opened.transitions, *closed.transitions],
        "payment": [(*payment_row(settled)[:-1], _Pattern("\\\\x%(personal_key)s"))],
        "attempt": [attempt],
        "transfer": closed.transfers,
        "response": closed.responses,
        "outbox": [(*message, _SETTLED_AT) for message in closed.messages],
    }
    patterns = {
        table: "".join("\t".join(_cell(value, marks) for value in row) + "\n" for row in rows[table])
        for table in TABLES
        if rows[table]
    }
    return Kind(
        currency=currency,
        body=_marked(instruction[7].decode(), marks),
        personal=_marked(plain_text(create.transitions[0].change).decode(), marks),
        patterns=patterns,
        accounts=[(transfer.debit, transfer.credit) for transfer in outcome.transfers],
    )


def _both_commits(body: dict[str, Any], approved: bool) -> tuple[Change, Change]:
    from_client = new_instruction(_mark("key"), body=body, merchant_id=_mark("merchant"), at=_CREATED_AT)
    instruction = type(from_client)(
        **{name: getattr(from_client, name) for name in from_client.__struct_fields__}
        | {
            "change_id": _mark("create"),
            "attempt_id": _ATTEMPT,
        }
    )
    create = create_change(instruction, _PAYMENT, body)
    if approved:
        verdict = approval(_mark("reference"), _AMOUNT, str(body["currency"]), _SETTLED_AT)
        return create, settled_change(create, verdict, change_id=_mark("settle"), at=_SETTLED_AT)
    refusal = decline(_mark("reference"), _SETTLED_AT)
    return create, settled_change(create, refusal, change_id=_mark("settle"), at=_SETTLED_AT)


class _Pattern(str):
    """Text that is a pattern already."""


def _mark(name: str) -> str:
    return f"<<{name}>>"


def _marks(printed: bytes) -> dict[str, str]:
    """What stands in the example for each value. ``printed``: the fingerprint of its request."""
    return {
        derived_id("msg", _mark("settle"), _PAYMENT): "%(message)s",
        _PAYMENT: "%(payment)s",
        _ATTEMPT: "%(attempt)s",
        **{_mark(name): f"%({name})s" for name in _NAMES},
        printed.hex(): "%(fingerprint)s",
        str(_AMOUNT): "%(amount)d",
        _rfc3339(_CREATED_AT.replace(tzinfo=None)): "%(created_at)s",
        _rfc3339(_SETTLED_AT.replace(tzinfo=None)): "%(settled_at)s",
    }


def _cell(value: object, marks: Mapping[str, str]) -> str:
    """A value in COPY's text format, as a pattern."""
    match value:
        case None:
            return "\\N"
        case _Pattern():
            return value
        case bool():
            return "t" if value else "f"
        case datetime():
            return _marked(_rfc3339(value.replace(tzinfo=None)), marks)
        case bytes() if value.isascii() and b"\\" not in value:
            return _marked(value.decode(), marks)  # bytea's escape format: such bytes stand for themselves
        case bytes():
            return _marked("\\\\x" + value.hex(), marks)
    return _marked(str(value).replace("\\", "\\\\"), marks)


def _marked(text: str, marks: Mapping[str, str]) -> str:
    text = text.replace("%", "%%")
    for mark, pattern in marks.items():
        text = text.replace(mark, pattern)
    return text


def _rfc3339(naive: datetime) -> str:
    """UTC, as msgspec writes it into bodies and history: no fraction where there is none."""
    return naive.isoformat() + "Z"
