"""Every step that the small world can take from a state. Steps that commute with all others are taken together: a
decision and its commit (the journal's guard makes a lost race a later decision), loading a payment and asking about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tallystick.decisions.lookups import (
    DueStep,
    NoNews,
    answer_of_submission,
    clocks_agree,
    due_step,
    evidence_in,
    is_news,
    no_news,
)
from tallystick.decisions.provider_events.dispositions import Ask, Decided, NotYet
from tallystick.decisions.resubmission import Move, in_doubt, next_move, still_possible
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import NotSent, Unknown
from tests.guarantees.small_model import decided as decisions
from tests.guarantees.small_model import properties, providers
from tests.guarantees.small_model.rules import CLOCK_MARGIN_MS, JUMP_MS, NEW, Rules, Scope
from tests.guarantees.small_model.states import (
    NOTHING,
    PROCESSES,
    Event,
    Request,
    Sent,
    State,
    Task,
)


class Taken(NamedTuple):
    """One step: its kind, what happened in words, and the state that it leads to."""

    kind: str
    words: str
    after: State


class World:
    """The steps of one scope under one set of rules."""

    def __init__(self, scope: Scope, rules: Rules = NEW) -> None:
        self.scope = scope
        self.rules = rules
        self.decided = decisions.Decided(scope.resubmit_limit)
        self.providers = {each.name: each for each in scope.providers}

    def steps(self, state: State) -> Iterator[Taken]:
        """Every step, with whatever fault it makes."""
        for make in (
            self._clients,
            self._senders,
            self._network,
            self._worker,
            self._time,
            self._events,
            self._mishaps,
        ):
            for taken in make(state):
                yield taken._replace(after=properties.checked(taken.after, self.decided))

    # What clients send, and what becomes of it.

    def _clients(self, state: State) -> Iterator[Taken]:
        for instruction in self.scope.instructions:
            if instruction == "create" and not state.provider:
                for name in self.providers:
                    yield from self._sent_by_client(state._replace(provider=name), instruction)
            else:
                yield from self._sent_by_client(state, instruction)

    def _sent_by_client(self, state: State, instruction: str) -> Iterator[Taken]:
        process = next((name for name in PROCESSES[:2] if state.task(name) is None), None)
        if process is None:
            return
        attempt = f"att_{instruction}{state.lives}"
        if self._has_key(state, instruction):
            yield Taken("client asks again", f"the client sends {instruction} again to {process}: it is known", state)
            return
        if instruction == "create":
            step = self.decided.create(
                instruction, attempt, f"pay_{state.lives}", state.provider, automatic=not self.scope.manual
            )
        elif state.record.stored == NOTHING:
            return
        else:
            step = self.decided.follow_up(state.record.stored, instruction, attempt)
        after = properties.committed(state, step, self.decided)
        words = f"the client sends {instruction} to {process}, which commits {attempt} at {state.provider}"
        if attempt not in step.opened:
            yield Taken("client is refused", f"the client sends {instruction} to {process}: refused", after)
            return
        offset = state.clocks.database
        sent = Sent(attempt, opened=offset, deadline=offset, minted=state.clocks.api)
        record = after.record._replace(sent=(*after.record.sent, sent))
        after = after._replace(record=record).with_phase(attempt, 0)
        yield Taken("client", words, after.with_task(process, Task("send", attempt, step.after, submission=1)))

    def _has_key(self, state: State, instruction: str) -> bool:
        if any(name == instruction for name, _ in state.record.answers):
            return True
        if state.record.stored == NOTHING:
            return False
        stored = self.decided.snapshot(state.record.stored)
        return any(each.idempotency_key == instruction for each in stored.attempts)

    def _senders(self, state: State) -> Iterator[Taken]:
        for process in PROCESSES:
            task = state.task(process)
            if task is None:
                continue
            if task.step == "send":
                yield self._send(state, process, task)
            elif task.step == "settle":
                yield self._settle(state, process, task)

    def _send(self, state: State, process: str, task: Task) -> Taken:
        attempt = self.decided.attempt(task.stored, task.attempt)
        newest = self.decided.attempt(state.record.stored, task.attempt)
        if newest.submissions != task.submission or state.phase(task.attempt) > 0:
            late = self.decided.number_of(NotSent(reason="too late"))
            after = state.with_task(process, task._replace(step="settle", verdict=late))
            return Taken("sender is late", f"{process} is too late to write {task.attempt}", after)
        assert attempt.idempotency_key is not None
        request = Request(
            process=process,
            provider=attempt.provider,
            instruction=attempt.idempotency_key,
            operation=attempt.operation,
            attempt=task.attempt,
            payment=attempt.payment_id,
            charge=attempt.parent_reference,
            key=attempt.provider_key,
        )
        after = state._replace(requests=tuple(sorted((*state.requests, request))))
        words = f"{process} writes {task.attempt} to its socket"
        return Taken("sender writes", words, after.with_task(process, task._replace(step="wait")))

    def _settle(self, state: State, process: str, task: Task) -> Taken:
        verdict = answer_of_submission(
            self.decided.verdict(task.verdict), doubted=task.doubted, can_have_been_sent=True
        )
        number = self.decided.number_of(verdict)
        step = self.decided.settle(task.stored, state.record.stored, task.attempt, number)
        after = properties.committed(state, step, self.decided).with_task(process, None)
        return Taken("answer is settled", f"{process} settles {task.attempt}: {_name(verdict)}", after)

    # Between us and the providers.

    def _network(self, state: State) -> Iterator[Taken]:
        for request in state.requests:
            provider = self.providers[request.provider]
            rest = list(state.requests)
            rest.remove(request)
            without = state._replace(requests=tuple(rest))
            found = providers.under_key(state, request, provider)
            if found is not None:
                verdict = providers.answer_under_key(state, request, found, provider, self.rules)
                words = f"{request.provider} gets {request.attempt}, whose key it knows: {_name(verdict)}"
                yield from self._answered(without, request, verdict, "provider knows the key", words)
                continue
            for outcome in providers.outcomes_of(state, request, capture=not self.scope.manual):
                entry, booked = providers.executed(without, request, outcome)
                words = f"{request.provider} gets {request.attempt}: {outcome}"
                verdict = providers.first_answer(booked, entry, provider)
                yield from self._answered(booked, request, verdict, "provider executes", words)
            if state.budget.lost and request.process:
                yield from self._lost(without, state, request)

    def _answered(self, state: State, request: Request, verdict: object, kind: str, words: str) -> Iterator[Taken]:
        if not request.process:
            yield Taken(kind, words, state)
            return
        number = self.decided.number_of(verdict)  # type: ignore[arg-type]  # one of the verdicts
        yield Taken(kind, words, self._hears(state, request.process, number))
        if state.budget.lost:
            lost = state._replace(budget=state.budget._replace(lost=state.budget.lost - 1))
            yield Taken("answer is lost", f"{words}; its answer is lost", self._hears_nothing(lost, request.process))

    def _lost(self, without: State, state: State, request: Request) -> Iterator[Taken]:
        """The request itself is lost, or nobody waits for it any more when it arrives."""
        budget = state.budget._replace(lost=state.budget.lost - 1)
        lost = self._hears_nothing(without._replace(budget=budget), request.process)
        if not (self.scope.reachable and state.lives > 1):
            yield Taken("request is lost", f"the request of {request.attempt} is lost", lost)
        if state.phase(request.attempt) > 0:
            requests = tuple(sorted((*without.requests, request._replace(process=""))))
            after = self._hears_nothing(state._replace(budget=budget, requests=requests), request.process)
            yield Taken("sender times out", f"{request.process} waits no longer for {request.attempt}", after)

    def _hears(self, state: State, process: str, verdict: int) -> State:
        task = state.task(process)
        assert task is not None and task.step == "wait"
        return state.with_task(process, task._replace(step="settle", verdict=verdict))

    def _hears_nothing(self, state: State, process: str) -> State:
        return self._hears(state, process, self.decided.number_of(Unknown(reason="no answer")))

    # Recovery.

    def _worker(self, state: State) -> Iterator[Taken]:
        task = state.task("worker")
        if task is None:
            if state.record.stored != NOTHING:
                for attempt in self.decided.snapshot(state.record.stored).attempts:
                    yield from self._due(state, attempt)
        elif task.step == "evidence":
            yield from self._weigh(state, task)
        elif task.step == "move":
            yield self._move(state, task)

    def _due(self, state: State, attempt: Attempt) -> Iterator[Taken]:
        if attempt.state not in ATTEMPT_OPEN or attempt.schedule.parked:
            return
        provider = self.providers[attempt.provider]
        phase = self._phase_by_the_database(state, attempt.attempt_id)
        task = Task("move", attempt.attempt_id, state.record.stored)
        match due_step(attempt, provider.traits, sending=phase == 0):
            case DueStep.MOVE:
                yield Taken("worker loads", f"the worker loads {attempt.attempt_id}", state.with_task("worker", task))
            case DueStep.ASK:
                sent = state.sent(attempt.attempt_id)
                verdict = providers.looked_up(state, attempt, sent, provider, self.rules)
                agree = clocks_agree(providers.skews_of(state.clocks), CLOCK_MARGIN_MS)
                task = task._replace(
                    step="evidence",
                    verdict=self.decided.number_of(verdict),
                    settled=phase == 2,
                    clocks_agree=agree or not self.rules.clocks_count,
                )
                words = f"the worker asks {provider.name} about {attempt.attempt_id}: {_name(verdict)}"
                yield Taken("worker asks", words, state.with_task("worker", task))

    def _phase_by_the_database(self, state: State, attempt: str) -> int:
        """A clock that was set forward ends every deadline at once."""
        forward = state.clocks.database - state.sent(attempt).deadline
        return 2 if forward >= JUMP_MS else state.phase(attempt)

    def _weigh(self, state: State, task: Task) -> Iterator[Taken]:
        """What the answer is worth."""
        attempt = self.decided.attempt(task.stored, task.attempt)
        traits = self.providers[attempt.provider].traits
        verdict = evidence_in(
            attempt,
            self.decided.verdict(task.verdict),
            traits,
            settled=task.settled,
            clocks_agree=task.clocks_agree,
        )
        idle = state.with_task("worker", None)
        if verdict is None:
            yield self._park(idle, task)
            return
        words = f"the worker settles {task.attempt}: {_name(verdict)}"
        if is_news(attempt, verdict):
            number = self.decided.number_of(verdict)
            step = self.decided.settle(task.stored, state.record.stored, task.attempt, number)
            if step.moved or isinstance(verdict, Unknown):
                yield Taken("look-up is settled", words, properties.committed(idle, step, self.decided))
                return
            idle = properties.committed(idle, step, self.decided)
        yield Taken("look-up says nothing", f"the worker learned nothing of {task.attempt}", idle)
        if self._is_over(attempt):
            yield self._park(idle, task)

    def _is_over(self, attempt: Attempt) -> bool:
        """After so many look-ups, that nobody counts here: at any moment."""
        limits = {"action_deadline_ms": 1, "pending_deadline_ms": 1, "checks_limit": 1}
        return no_news(attempt, age_ms=0, checks=1, **limits) is NoNews.PARK

    def _move(self, state: State, task: Task) -> Taken:
        stored = self.decided.snapshot(task.stored)
        attempt = stored.attempt(task.attempt)
        traits = self.providers[attempt.provider].traits
        idle = state.with_task("worker", None)
        possible = still_possible(stored, attempt)
        move = next_move(
            attempt,
            traits,
            age_ms=0,
            resubmit_limit=self.scope.resubmit_limit,
            possible=possible,
            record_was_restored=state.lives > 1 and self.rules.restored_is_known,
        )
        match move:
            case Move.GIVE_UP:
                step = self.decided.give_up(task.stored, state.record.stored, task.attempt)
                words = f"the worker gives up {task.attempt}, which is {attempt.state}"
                return Taken("worker gives up", words, properties.committed(idle, step, self.decided))
            case Move.PARK:
                return self._park(idle, task)
            case Move.RESUBMIT:
                return self._resubmit(idle, task, doubted=in_doubt(attempt, traits))

    def _resubmit(self, idle: State, task: Task, *, doubted: bool) -> Taken:
        step = self.decided.resubmit(task.stored, idle.record.stored, task.attempt)
        words = f"the worker commits another submission of {task.attempt}"
        if not step.fresh:
            return Taken("worker is overtaken", f"{words}: overtaken", idle)
        after = properties.committed(idle, step, self.decided).with_phase(task.attempt, 0)
        sent = tuple(
            each._replace(deadline=idle.clocks.database) if each.attempt == task.attempt else each
            for each in after.record.sent
        )
        number = self.decided.attempt(step.after, task.attempt).submissions
        sender = Task("send", task.attempt, step.after, submission=number, doubted=doubted)
        after = after._replace(record=after.record._replace(sent=sent))
        return Taken("worker resubmits", words, after.with_task("worker", sender))

    def _park(self, idle: State, task: Task) -> Taken:
        step = self.decided.park(task.stored, idle.record.stored, task.attempt)
        after = properties.committed(idle, step, self.decided)
        return Taken("worker parks", f"the worker parks {task.attempt}", after)

    # Time, clocks, and what else happens.

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

    def _told(self, state: State, entry: object) -> State:
        assert isinstance(entry, providers.Operation)
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
            number = self.decided.number_of(newest)
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


def _name(verdict: object) -> str:
    shown = type(verdict).__name__
    effect = getattr(verdict, "effect", None)
    return f"{shown} {effect}" if effect else shown
