"""One state of the small world, as immutable values: equal states are one state. Snapshots and verdicts are numbers of
a table (``decided.Decided``)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tests.guarantees.small_model.rules import Budget

#: What an operation came to in a provider's books, and where its money is now.
Outcome = Literal["authorized", "captured", "voided", "refunded", "declined"]

PROCESSES = ("api_1", "api_2", "worker")

#: No payment, or no verdict yet.
NOTHING = -1


class Sent(NamedTuple):
    """When an attempt was sent, as the database keeps it: how far its clock was off. ``minted``: the host's, then."""

    attempt: str
    opened: int
    deadline: int
    minted: int


class Record(NamedTuple):
    """The database: what a back-up holds and a restore brings back."""

    stored: int = NOTHING
    answers: tuple[tuple[str, str], ...] = ()  # instruction -> the state in its recorded answer
    sent: tuple[Sent, ...] = ()


class Task(NamedTuple):
    """What one process is in the middle of. ``stored``: the snapshot that it decided on, however old by now."""

    step: Literal["send", "wait", "settle", "evidence", "move"]
    attempt: str
    stored: int
    submission: int = 0
    doubted: bool = False
    verdict: int = NOTHING
    settled: bool = False
    clocks_agree: bool = True


class Request(NamedTuple):
    """A request on its way to a provider. ``process``: who waits for its answer, or nobody."""

    process: str
    provider: str
    instruction: str
    operation: str
    attempt: str
    payment: str
    charge: str | None
    key: str


class Operation(NamedTuple):
    """One entry of a provider's books. ``charge``: its own, or the one that it acts on. ``stamped``: how far the
    provider's clock was off."""

    provider: str
    instruction: str
    operation: str
    attempt: str
    payment: str
    charge: str
    key: str
    outcome: Outcome
    stamped: int


class Event(NamedTuple):
    """A provider's webhook, on its way. It says what was so when it was written."""

    provider: str
    operation: str
    instruction: str
    attempt: str
    payment: str
    charge: str
    verdict: int


class Clocks(NamedTuple):
    """How far each clock is off, in ms."""

    api: int = 0
    worker: int = 0
    database: int = 0
    provider: int = 0


class State(NamedTuple):
    """Everything. ``phases``: of each attempt's last submission, 1 once its sender may not write or read any more, 2
    once nothing of its instruction can be on its way. ``lives``: how often the database was begun anew."""

    budget: Budget
    record: Record = Record()
    backup: Record = Record()
    provider: str = ""
    tasks: tuple[Task | None, Task | None, Task | None] = (None, None, None)
    requests: tuple[Request, ...] = ()
    books: tuple[Operation, ...] = ()
    phases: tuple[tuple[str, int], ...] = ()
    clocks: Clocks = Clocks()
    event: Event | None = None
    alerts: tuple[str, ...] = ()
    lives: int = 1
    fault: str | None = None

    def phase(self, attempt: str) -> int:
        """Of an attempt's last submission."""
        return dict(self.phases)[attempt]

    def with_phase(self, attempt: str, phase: int) -> State:
        """The attempt's submission is as old as this."""
        return self._replace(phases=tuple(sorted({**dict(self.phases), attempt: phase}.items())))

    def with_task(self, process: str, task: Task | None) -> State:
        """The process does this now."""
        first, second, third = (
            task if name == process else now for name, now in zip(PROCESSES, self.tasks, strict=True)
        )
        return self._replace(tasks=(first, second, third))

    def task(self, process: str) -> Task | None:
        """What the process is in the middle of."""
        return self.tasks[PROCESSES.index(process)]

    def sent(self, attempt: str) -> Sent:
        """When the record's attempt was sent."""
        return next(each for each in self.record.sent if each.attempt == attempt)

    def effects(self, instruction: str) -> list[Operation]:
        """What the providers executed of one instruction, under whatever attempt."""
        return [each for each in self.books if each.instruction == instruction and is_effect(each)]

    def with_alert(self, alert: str) -> State:
        """Somebody was told."""
        return self._replace(alerts=tuple(sorted({*self.alerts, alert})))


def is_effect(entry: Operation) -> bool:
    """Whether the instruction was carried out by it: a voided hold was, and is no more."""
    if entry.operation == "authorize":
        return entry.outcome in ("authorized", "captured")
    return entry.outcome != "declined"
