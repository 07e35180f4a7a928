"""The contract's chapter on the ledger: what each edge posts, computed from the edges themselves.

Each edge is run on a sample subject whose amounts all differ, so that a posted amount names the field that it came
from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, get_args, get_origin, get_type_hints

from msgspec.structs import replace

from tallystick.contract import markdown
from tallystick.domain.bank_statement import Arrived, BankStatement
from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.table import NEW, Edge
from tallystick.domain.provider_operation import ProviderOperation

#: An amount that no field of a sample has.
_GIVEN_BACK: Final = 900

#: Conditions before and after a step that change its postings.
_VARIANTS: Final[dict[tuple[str, str], tuple[tuple[str, dict[str, Any], dict[str, Any]], ...]]] = {
    ("payment", "captured_and_refunded"): (
        (
            "",
            {},
            {
                "provider_operations": (
                    ProviderOperation(reference="", kind="capture", amount=_GIVEN_BACK, booked="refunded"),
                )
            },
        ),
    ),
    ("dispute", "funds_returned"): (("", {"funds_withdrawn": True}, {}),),
    ("dispute", "funds_withdrawn"): (("", {}, {"funds_withdrawn": True}),),
    ("dispute", "won"): (("nothing withdrawn", {}, {}), ("withdrawn", {"funds_withdrawn": True}, {})),
    ("dispute", "lost"): (
        ("nothing withdrawn", {}, {"funds_withdrawn": True}),
        ("withdrawn", {"funds_withdrawn": True}, {"funds_withdrawn": True}),
    ),
    ("dispute", "late_movement"): (
        ("more withdrawn", {}, {"funds_withdrawn": True}),
        ("more returned", {"funds_withdrawn": True}, {}),
    ),
    ("dispute", "contested"): (("", {}, {"contested": True}),),
}

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)

#: The difference between one amount of a sample and the next; the growth of an amount in a step is smaller.
_STEP: Final = 1_000

_GIVEN_BACK_AND_LATE: Final = """
*What was captured and refunded* is the sum of the entries that the step adds to `provider_operations` with `booked`
`refunded`.

*Withdrawn* is what `funds_withdrawn` said before the step. A step of a dispute also posts what its row does not account
for, as `late_movement`: money withdrawn from `suspense:<p>` (debit) to `provider:<p>` (credit), money returned the
reverse. The amount is what is out after the step, less what was out before it, less the step's `dispute_withdrawn`,
plus its `dispute_returned`. What is out of a dispute's money:

1. Without `movements`: `amount` if `funds_withdrawn`, else 0.
2. Undecided or `contested`: all that the `movements` withdrew, less all that they returned. One without an amount does
   not count, here and below.
3. `won`: the same, less `amount` for each return that is not reported yet. Expected are as many as the movements with
   `before_verdict` withdrew more often than they returned; those without it that returned are reported.
4. `lost`: the same, plus `amount` for each withdrawal that is not reported yet. Expected is that the movements with
   `before_verdict` withdrew once more than they returned; those without it that withdrew are reported.

So a verdict posts what it presupposes, and the movement that is reported later corrects it to its own amount, or posts
nothing (`funds_reported`).
"""

_PostingRows = dict[tuple[str, str, tuple[Posting, ...]], list[str]]


def ledger_chapter() -> str:
    """What each edge posts, as a table."""
    rows: list[tuple[str, ...]] = []
    for kind in KINDS.values():
        for (event, when, legs), states in _postings(kind).items():
            words = _words(kind)
            for number, leg in enumerate(legs):
                first = number == 0
                rows.append(
                    (
                        f"`{kind.name}: {event}`" if first else "",
                        ", ".join([*(f"`{state}`" for state in states), *([when] if when else [])]) if first else "",
                        f"`{leg.kind}`",
                        f"`{leg.debit}`",
                        f"`{leg.credit}`",
                        words.get(leg.amount, str(leg.amount)),
                    )
                )
    return "\n\n".join(
        (
            "## Ledger",
            "One row is one transfer: a debit account, a credit account and an amount above zero, so an unbalanced"
            " entry cannot be expressed. Transfers belong to a version of their subject and are keyed by it."
            " Corrections are new transfers. `provider:`, `authorized:`, `refunds_in_flight:`, `disputes:`"
            " and `suspense:` are clearing accounts: they return to zero when the provider's books and ours agree."
            " `dispute_reserve` holds what undecided disputes may cost the merchant.",
            "`<p>` is the subject's `provider`, and the currency is the subject's. An amount is the field after the"
            " step, if the table does not say *before*. An amount of 0 posts no row: a hold of 0, for example. In"
            " history before 0.2.0 late money of every kind is called `late_effect`.",
            markdown.table(("edge", "from", "transfer", "debit", "credit", "amount"), rows),
            _GIVEN_BACK_AND_LATE.strip("\n"),
        )
    )


def _postings(kind: SubjectKind) -> _PostingRows:
    """By event, condition and postings: the states before the step."""
    found: _PostingRows = {}
    for state, event, edge in kind.machine.live_edges():
        for when, before_has, after_has in _VARIANTS.get((kind.name, event), (("", {}, {}),)):
            legs = tuple(_legs(kind, state, edge, before_has, after_has))
            if legs:
                found.setdefault((event, when, legs), []).append(state)
    return found


def _legs(
    kind: SubjectKind, state: str, edge: Edge, before_has: dict[str, Any], after_has: dict[str, Any]
) -> list[Posting]:
    if edge.posts is None:
        return []
    before = None if state == NEW else sample(kind, state, grown=False, **before_has)
    after = sample(kind, edge.to, grown=True, **after_has)
    return list(edge.posts(_at_bank(before), _at_bank(after)))


def _at_bank(subject: Any) -> Any:
    """A bank statement of an account, with all of ``arrived`` from one provider."""
    if not isinstance(subject, BankStatement):
        return subject
    arrivals = (Arrived("<p>", subject.arrived),)
    return replace(subject, provider="bank", account="<account>", arrivals=arrivals)


def sample(kind: SubjectKind, state: str, *, grown: bool, **fields: Any) -> Any:
    """A subject whose amounts all differ; ``grown``: as it may be one step later. ``amount`` never changes."""
    values: dict[str, Any] = {"version": 2 if grown else 1, "state": state}
    hints = get_type_hints(kind.struct)
    for place, name in enumerate(_amounts(kind), 1):
        growth = place if grown and name != "amount" else 0
        values[name] = place * _STEP + growth
    for name, hint in hints.items():
        if name in values:
            continue
        if hint is str:
            values[name] = "<p>" if name == "provider" else name
        elif hint is datetime:
            values[name] = _AT
        elif hint is bool:
            values[name] = False
        elif get_origin(hint) is tuple:
            values[name] = ()
        elif name not in kind.no_column and type(None) not in get_args(hint) and get_origin(hint) is not dict:
            values[name] = get_args(hint)[0]
    return kind.struct(**(values | fields))


def _words(kind: SubjectKind) -> dict[int, str]:
    """What each amount of the samples stands for."""
    words: dict[int, str] = {_GIVEN_BACK: "what was captured and refunded"}
    for place, name in enumerate(_amounts(kind), 1):
        words[place * _STEP + place] = f"`{name}`"
        words[place] = f"what `{name}` grows by"
        words[-place] = f"what `{name}` falls by"  # samples grow, so an edge that lowers an amount posts less than 0
        words[place * _STEP] = f"`{name}`" if name == "amount" else f"`{name}` before"
    return words


def _amounts(kind: SubjectKind) -> list[str]:
    hints = get_type_hints(kind.struct)
    return [name for name in kind.struct.__struct_fields__ if hints[name] is int and name != "version"]
