"""Our mark on a provider's objects: whose an object is. Pure."""

from __future__ import annotations

from typing import Literal

#: ``ours``: the object bears our mark, of this installation or of another. ``absent``: it would bear our mark if it
#: were ours, and bears none.
Mark = Literal["ours", "absent"]

#: What came of asking a provider for a charge: its mark; ``unanswered``: nobody answered, and the same question may be
#: answered later; ``unknown``: there is no such question, or an answer that says nothing.
ChargeMark = Literal[Mark, "unanswered", "unknown"]
