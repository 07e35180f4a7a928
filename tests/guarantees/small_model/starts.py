"""Where explorations begin: with nothing, or with a payment that is held or captured already."""

from __future__ import annotations

from typing import Final

from tests.guarantees.small_model.decided import Decided
from tests.guarantees.small_model.providers import verdict_of
from tests.guarantees.small_model.rules import ProviderRules
from tests.guarantees.small_model.states import NOTHING, Clocks, Operation, Outcome, Record, Sent, State
from tests.guarantees.small_model.world import World

RIGHT: Final = Clocks()


def start(world: World, clocks: Clocks = RIGHT) -> State:
    """With nothing."""
    return State(budget=world.scope.budget, clocks=clocks)


def with_payment(world: World, provider: ProviderRules, clocks: Clocks = RIGHT) -> State:
    """With a payment that was made before."""
    decided, automatic = world.decided, not world.scope.manual
    outcome: Outcome = "captured" if automatic else "authorized"
    entry = Operation(
        provider=provider.name,
        instruction="before",
        operation="authorize",
        attempt="att_before",
        payment="pay_1",
        charge="ch_1",
        key="before",
        outcome=outcome,
        stamped=clocks.provider,
    )
    opened = decided.create("before", "att_before", "pay_1", provider.name, automatic=automatic)
    made = _settled(decided, opened.after, entry)
    offset = clocks.database
    record = Record(
        stored=made,
        answers=(("before", outcome),),
        sent=(Sent("att_before", opened=offset, deadline=offset, minted=clocks.api),),
    )
    return State(
        budget=world.scope.budget,
        record=record,
        backup=record,
        provider=provider.name,
        books=(entry,),
        phases=(("att_before", 2),),
        clocks=clocks,
    )


def _settled(decided: Decided, opened: int, entry: Operation) -> int:
    step = decided.settle(opened, opened, entry.attempt, decided.number_of(verdict_of(entry)))
    assert step.fresh and step.after != NOTHING
    return step.after
