"""Who tried a transition that was refused."""

from __future__ import annotations

from typing import Literal

#: A refusal that a client did not cause raises an alert.
Origin = Literal["client", "provider", "recovery", "operator"]
