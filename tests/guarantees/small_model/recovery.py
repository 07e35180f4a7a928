"""The worker: as the product's recovery, with one attempt at a time. Look-ups are not counted: their limit may be
reached at any time."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.decisions.lookups import DueStep, NoNews, clocks_agree, due_step, evidence_in, is_news, no_news
from tallystick.decisions.resubmission import Move, in_doubt, next_move, still_possible
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Unknown, Verdict
from tests.guarantees.small_model import properties, providers
from tests.guarantees.small_model.parts import Part, Taken, name_of
from tests.guarantees.small_model.rules import CLOCK_MARGIN_MS, JUMP_MS
from tests.guarantees.small_model.states import NOTHING, State, Task


class Recovery(Part):
    """Due attempts are asked about, sent again, given up or parked."""

    def steps(self, state: State) -> Iterator[Taken]:
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
                yield from self._ask(state, attempt, settled=phase == 2)

    def _ask(self, state: State, attempt: Attempt, *, settled: bool) -> Iterator[Taken]:
        """The answer shows the provider's books; that of a look-up may be lost as any other."""
        provider = self.providers[attempt.provider]
        verdict = providers.looked_up(state, attempt, state.sent(attempt.attempt_id), provider, self.rules)
        agree = clocks_agree(providers.skews_of(state.clocks), CLOCK_MARGIN_MS) or not self.rules.clocks_count
        words = f"the worker asks {provider.name} about {attempt.attempt_id}"
        known = self._task(state, attempt, verdict)._replace(settled=settled, clocks_agree=agree)
        yield Taken("worker asks", f"{words}: {name_of(verdict)}", state.with_task("worker", known))
        if state.budget.lost:
            lost = state._replace(budget=state.budget._replace(lost=state.budget.lost - 1))
            unknown = self._task(state, attempt, Unknown(reason="no answer"))._replace(settled=settled)
            yield Taken("look-up is lost", f"{words}: its answer is lost", lost.with_task("worker", unknown))

    def _task(self, state: State, attempt: Attempt, verdict: Verdict) -> Task:
        number = self.decided.number_of(verdict)
        return Task("evidence", attempt.attempt_id, state.record.stored, verdict=number)

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
        words = f"the worker settles {task.attempt}: {name_of(verdict)}"
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
