"""What happens by itself: time passes, providers tell, clocks jump, and an older back-up is restored."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.decisions.provider_events.dispositions import Ask, Decided, NotYet
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tests.guarantees.small_model import properties, providers
from tests.guarantees.small_model.parts import Part, Taken
from tests.guarantees.small_model.rules import JUMP_MS
from tests.guarantees.small_model.states import NOTHING, Event, Operation, State


class Happenings(Part):
    """Time, webhooks and mishaps."""

    def steps(self, state: State) -> Iterator[Taken]:
        """Whatever may happen now."""
        yield from self._time(state)
        yield from self._events(state)
        yield from self._mishaps(state)

    def _time(self, state: State) -> Iterator[Taken]:
        if state.record.stored == NOTHING:
            return
        for attempt in self.decided.snapshot(state.record.stored).attempts:
            if attempt.state not in ATTEMPT_OPEN:
                continue
            phase = state.phase(attempt.attempt_id)
            on_its_way = any(each.instruction == attempt.idempotency_key for each in state.requests)
            if phase == 0 and not self._is_held(state, attempt.attempt_id):
                words = f"the deadline of {attempt.attempt_id} passes"
                yield Taken("deadline passes", words, state.with_phase(attempt.attempt_id, 1))
            elif phase == 1 and not on_its_way:
                words = f"the settling time of {attempt.attempt_id} passes"
                yield Taken("settling time passes", words, state.with_phase(attempt.attempt_id, 2))

    def _is_held(self, state: State, attempt: str) -> bool:
        """Whether its sender writes in time: what is sent after a restore, where that reaches its provider."""
        writes = any(task is not None and (task.step, task.attempt) == ("send", attempt) for task in state.tasks)
        return writes and self.scope.reachable and state.lives > 1

    def _events(self, state: State) -> Iterator[Taken]:
        if state.event is not None:
            yield self._processed(state, state.event)
        if not state.budget.webhooks:
            return
        spent = state._replace(budget=state.budget._replace(webhooks=state.budget.webhooks - 1))
        for entry in state.books:
            provider = self.providers[entry.provider]
            yield Taken(
                "provider tells", f"{entry.provider} writes a webhook about {entry.attempt}", self._told(spent, entry)
            )
            if self._was_refused(state, entry.attempt) and (entry.operation, entry.outcome) == (
                "authorize",
                "declined",
            ):
                late = entry._replace(outcome="captured" if not self.scope.manual else "authorized")
                books = tuple(sorted(late if each is entry else each for each in state.books))
                words = f"{provider.name} executes {entry.attempt} after all, and writes a webhook"
                yield Taken("provider executes late", words, self._told(spent._replace(books=books), late))

    def _told(self, state: State, entry: Operation) -> State:
        verdict = providers.told(state, entry, self.providers[entry.provider])
        event = Event(
            provider=entry.provider,
            operation=entry.operation,
            instruction=entry.instruction,
            attempt=entry.attempt,
            payment=entry.payment,
            charge=entry.charge,
            verdict=self.decided.number_of(verdict),
        )
        return state._replace(event=event)

    def _was_refused(self, state: State, attempt: str) -> bool:
        if state.record.stored == NOTHING:
            return False
        attempts = self.decided.snapshot(state.record.stored).attempts
        return any((each.attempt_id, each.state) == (attempt, "declined") for each in attempts)

    def _processed(self, state: State, event: Event) -> Taken:
        provider = self.providers[event.provider]
        words = f"the webhook about {event.attempt} is processed"
        stored = state.record.stored
        gone = state._replace(event=None)
        if stored == NOTHING or self.decided.snapshot(stored).payment.payment_id != event.payment:
            return Taken("webhook is dead", f"{words}: a dead letter", gone.with_alert("dead letter"))
        notice = providers.notice_of(event, self.decided.verdict(event.verdict), provider)
        charge = event.charge if provider.lists else None
        decision, step = self.decided.event(stored, notice, provider.name, charge, NOTHING)
        if isinstance(decision, Ask):
            attempt = self.decided.attempt(stored, decision.attempt_id)
            sent = state.sent(attempt.attempt_id)
            newest = providers.looked_up(state, attempt, sent, provider, self.rules)
            number = self.decided.number_of(newest) if provider.traits.can_fetch else event.verdict
            decision, step = self.decided.event(stored, notice, provider.name, charge, number)
        if isinstance(decision, Ask | NotYet):
            return Taken(
                "webhook is dead", f"{words}: not yet, and at last a dead letter", gone.with_alert("dead letter")
            )
        assert isinstance(decision, Decided)
        after = properties.committed(gone, step, self.decided)
        after = properties.after_event(after, event, decision.disposition, self.decided)
        return Taken("webhook", f"{words}: {decision.disposition}", after)

    def _mishaps(self, state: State) -> Iterator[Taken]:
        budget = state.budget
        if budget.jumps:
            for clock in self.scope.jumping:
                for jump in (JUMP_MS, -JUMP_MS):
                    clocks = state.clocks._replace(**{clock: getattr(state.clocks, clock) + jump})
                    after = state._replace(clocks=clocks, budget=budget._replace(jumps=budget.jumps - 1))
                    yield Taken("clock jumps", f"the clock of {clock} jumps by {jump // 1000} s", after)
        if not budget.restores:
            return
        if budget.backups and state.record != state.backup:
            after = state._replace(backup=state.record, budget=budget._replace(backups=budget.backups - 1))
            yield Taken("back-up", "a back-up is taken", after)
        if state.record != state.backup:
            yield Taken("restore", "every process ends, and the back-up is restored", self._restored(state))

    def _restored(self, state: State) -> State:
        return state._replace(
            record=state.backup,
            tasks=(None, None, None),
            requests=tuple(sorted(each._replace(process="") for each in state.requests)),
            budget=state.budget._replace(restores=state.budget.restores - 1, backups=0),
            lives=state.lives + 1,
        )
