"""The contract's chapter on faults: the table of ``fault_table``, cells that are equal in one row."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from tallystick.contract import markdown
from tallystick.contract.fault_table import CELLS, FAULTS, INSTRUCTIONS, PROVIDERS, Answer, CannotOccur

_HEAD: Final = """
## Faults

What comes of each instruction at each provider under each fault. This table was written by hand; a test makes every
cell happen on a real database and compares. *sent*: the requests that had left for the provider when the answer was
given, and in the end. *key*: whether the request's `Idempotency-Key` is taken afterwards. *in the end*: what the same
request gets, and what is stored, when nothing changes any more without a person or what may still arrive. *may still
arrive*: a repetition changes nothing; the decision is the provider's event, which ends the instruction; an outcome that
comes late ends it too, though it was parked; another attempt's outcome resolves nothing here, and its event becomes a
dead letter.
"""

_COLUMNS: Final = (
    "instruction",
    "provider",
    "answer",
    "sent",
    "key",
    "in the end",
    "may still arrive",
    "who acts next",
)


def fault_table() -> str:
    """One table a fault."""
    return "\n\n".join([_HEAD.strip("\n"), *(_fault(name) for name in FAULTS)])


def _fault(name: str) -> str:
    fault = FAULTS[name]
    unharmed = (
        "A client causes it: another merchant at the same provider is unharmed."
        if fault.by_client
        else "Another provider is unharmed."
    )
    rows: dict[tuple[str, Answer], list[str]] = defaultdict(list)
    reasons: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for instruction in INSTRUCTIONS:
        for provider in PROVIDERS:
            cell = CELLS[instruction, provider, name]
            if isinstance(cell, CannotOccur):
                reasons[cell.because].append((instruction, provider))
            else:
                rows[instruction, cell].append(provider)
    parts = [f"### {fault.title}", f"{fault.meaning} {unharmed}"]
    parts.append(markdown.table(_COLUMNS, [_row(*key, providers) for key, providers in rows.items()]))
    parts += [_reason(because, cells) for because, cells in reasons.items()]
    return "\n\n".join(parts)


def _row(instruction: str, answer: Answer, providers: list[str]) -> tuple[str, ...]:
    stored = "; ".join(answer.records) or "nothing is stored"
    return (
        f"`{instruction}`",
        markdown.code(providers),
        _coded(f"{answer.status} {answer.code or ''}"),
        f"{answer.sent}, then {answer.in_all}" if answer.in_all != answer.sent else str(answer.sent),
        answer.key,
        f"{_coded(answer.end)}; {stored}",
        answer.arrives,
        answer.acts,
    )


def _coded(said: str) -> str:
    """A status and its codes."""
    status, *codes = said.split()
    return f"{status} {markdown.code(codes)}".strip()


def _reason(because: str, cells: list[tuple[str, str]]) -> str:
    instructions = dict.fromkeys(instruction for instruction, _ in cells)
    providers = dict.fromkeys(provider for _, provider in cells)
    return f"Cannot occur: {markdown.code(instructions)} at {markdown.code(providers)}, because {because}."
