"""Rates that are kept by the minute: what is repeated, as a part of what there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

#: ``repeats``: instructions whose key was taken before: ``replays`` of them with the recorded answer,
#: ``repeats_in_flight`` with 409, ``repeats_not_final`` with 202, and ``repeats_mismatched`` with 422, as they asked
#: for something else. ``redeliveries``: of the providers' events that arrived, ``other_bytes`` of them with other
#: content under a known id. ``resubmissions``: of the attempts given to a provider.
RateName = Literal[
    "instructions", "repeats", "replays", "repeats_in_flight", "repeats_not_final", "repeats_mismatched",
    "arrivals", "redeliveries", "other_bytes", "submissions", "resubmissions",
]  # fmt: skip

#: What is repeated -> what it is a part of.
PART_OF: Final[Mapping[RateName, RateName]] = {
    "repeats": "instructions",
    "replays": "instructions",
    "redeliveries": "arrivals",
    "resubmissions": "submissions",
}
