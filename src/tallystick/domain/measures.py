"""What each process counts, in one table. ``tallystick metrics`` prints it; ``/metrics`` has nothing else of a process.

Labels have values from closed sets: the lifecycles, the connectors, the verdicts. A merchant, a key or a payment is
never one. What the database knows is in ``oversight/numbers.py``.
"""

from __future__ import annotations

from typing import Final

from tallystick.kit.metrics import LONG_MILLISECONDS, AnyFamily, Counts, Levels, Spreads
from tallystick.kit.rounds import FAILED_ROUNDS, ROUND_TIME

#: How an instruction was answered: ``first`` was carried out; the others repeat a key that was taken before.
INSTRUCTIONS: Final = Counts(
    "tallystick_instructions",
    "Instructions by what they ask for and how they were answered: first, replayed (the recorded answer), in_flight"
    " (409), not_final (202), mismatch (422).",
    ("operation", "answer"),
)

REQUEST_TIME: Final = Spreads(
    "tallystick_request_seconds",
    "Requests until their answer is ready: of api, of intake (providers' webhooks), or of a probe.",
    ("role",),
)

OLDER_VERSIONS: Final = Counts(
    "tallystick_older_version_requests",
    "Requests in a version of the API that is not the newest. `tallystick versions` says whose.",
    ("api_version",),
)

TRANSITIONS: Final = Counts(
    "tallystick_transitions", "Committed steps, by the edge of the lifecycle.", ("machine", "state", "event")
)

REJECTIONS: Final = Counts(
    "tallystick_rejected_transitions",
    "Transitions that the record refused and kept, by the edge that was tried and who tried it.",
    ("machine", "state", "event", "origin"),
)

LOST_RACES: Final = Counts(
    "tallystick_journal_lost_races", "Changes that lost a version to another one and were decided again."
)

BATCH_CHANGES: Final = Spreads(
    "tallystick_journal_batch_changes",
    "Changes in one transaction of the journal.",
    bounds=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    per_shown_unit=1,
)

BATCH_TIME: Final = Spreads("tallystick_journal_batch_seconds", "From a batch's start until all of it is answered.")

BATCH_WAIT: Final = Spreads(
    "tallystick_journal_wait_seconds", "How long the change of a batch that waited longest had waited for its start."
)

JOURNAL_QUEUE: Final = Levels("tallystick_journal_queue_changes", "Changes that wait for a batch.")

IN_FLIGHT: Final = Levels("tallystick_instructions_in_flight", "Instructions that are being carried out.")

PROVIDER_CALLS: Final = Spreads(
    "tallystick_provider_call_seconds",
    "Calls to providers, by operation and what came back, with the wait for a free connection.",
    ("provider", "operation", "outcome"),
)

SUBMISSIONS: Final = Counts(
    "tallystick_provider_submissions",
    "Attempts given to a provider: first, or again under the same key.",
    ("provider", "operation", "turn"),
)

CIRCUIT: Final = Levels(
    "tallystick_provider_circuit", "Processes whose circuit to the provider is in this state.", ("provider", "state")
)

PAUSE: Final = Levels(
    "tallystick_provider_pause_seconds",
    "How long the provider still asks to be left alone.",
    ("provider",),
    furthest=True,
)

ARRIVALS: Final = Counts(
    "tallystick_webhook_arrivals",
    "Providers' events that arrived: first, redelivery, or other_bytes under a known id.",
    ("provider", "result"),
)

EVENT_TRIES: Final = Counts(
    "tallystick_webhook_tries", "Tries at providers' events by what they came to.", ("provider", "result")
)

EVENT_TIME: Final = Spreads(
    "tallystick_webhook_handling_seconds", "How long a worker took for one try at a provider's event.", ("provider",)
)

MESSAGE_TRIES: Final = Counts("tallystick_message_tries", "Tries to deliver a message, by result.", ("result",))

MESSAGE_LAG: Final = Spreads(
    "tallystick_message_lag_seconds",
    "From a message's step until an endpoint had it.",
    bounds=LONG_MILLISECONDS,
)

CLOCK_SKEW: Final = Levels(
    "tallystick_clock_skew_seconds",
    "How far this host's clock is ahead of another one (below 0: behind it), by the process that is furthest off.",
    ("clock",),
    furthest=True,
)

CLOCKS_APART: Final = Levels(
    "tallystick_clocks_apart", "Processes whose clock differs from this one by more than the margin.", ("clock",)
)

PROCESSES: Final = Levels(
    "tallystick_processes", "Processes that report here, by role and version.", ("role", "version")
)

#: Every family of a process, in the order in which it is listed.
MEASURES: Final[tuple[AnyFamily, ...]] = (
    INSTRUCTIONS,
    REQUEST_TIME,
    OLDER_VERSIONS,
    TRANSITIONS,
    REJECTIONS,
    LOST_RACES,
    BATCH_CHANGES,
    BATCH_TIME,
    BATCH_WAIT,
    JOURNAL_QUEUE,
    IN_FLIGHT,
    PROVIDER_CALLS,
    SUBMISSIONS,
    CIRCUIT,
    PAUSE,
    ARRIVALS,
    EVENT_TRIES,
    EVENT_TIME,
    MESSAGE_TRIES,
    MESSAGE_LAG,
    ROUND_TIME,
    FAILED_ROUNDS,
    CLOCK_SKEW,
    CLOCKS_APART,
    PROCESSES,
)

#: Label names that may stand in a family: each has its values from a table of ours.
LABELS: Final = frozenset(
    {
        "account", "alert", "answer", "api_version", "category", "clock", "currency", "event", "kind", "machine",
        "operation", "origin", "outcome", "provider", "result", "role", "severity", "state", "turn", "version", "what",
        "window", "work",
    }
)  # fmt: skip
