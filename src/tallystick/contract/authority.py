"""The page ``docs/authority.md``: who settles what happened, where two sources disagree."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.domain.authority import AUTHORITIES, MEANINGS

_OPENING: Final = """# Who settles what happened

Several sources say what became of money. They disagree sometimes: one is late, one is wrong, one was lost. This page
names for each pair which one is believed, what is written down, who is told, and how long the two may disagree. It is
printed from the table that the code runs on: `tallystick contract authority`.

Three rules stand above the table. Absence is no evidence: what a file does not have makes it overdue, and nothing
else. A final state is never moved by a later source: its money goes apart, where a person sees it. And nobody who
tells us something decides whose money it is: a row belongs to a merchant by its own reference alone.

## Sources
"""


def render_authority() -> str:
    """The whole page."""
    sources = markdown.table(("source", "what it is"), [(f"`{name}`", says) for name, says in MEANINGS.items()])
    pairs = markdown.table(
        ("sources", "settled by", "because", "written", "told", "how long"),
        [
            (
                f"`{each.first}`, `{each.second}`",
                f"`{each.settles}`" if each.settles != "person" else "a person",
                each.because,
                f"`{each.kept}`: {each.written}",
                each.told,
                each.lasts,
            )
            for each in AUTHORITIES
        ],
    )
    return f"{_OPENING}\n{sources}\n\n## Pairs\n\n{pairs}\n"
