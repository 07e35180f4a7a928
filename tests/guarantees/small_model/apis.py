"""The APIs: what clients send to them, and the senders. A worker that sends again is a sender as well."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.decisions.lookups import answer_of_submission
from tallystick.domain.verdicts import NotSent
from tests.guarantees.small_model import properties
from tests.guarantees.small_model.parts import Part, Taken, name_of
from tests.guarantees.small_model.states import NOTHING, PROCESSES, Request, Sent, State, Task


class Apis(Part):
    """Instructions that are taken, written and settled."""

    def steps(self, state: State) -> Iterator[Taken]:
        """What clients send, and what becomes of it."""
        yield from self._clients(state)
        yield from self._senders(state)

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
        return Taken("answer is settled", f"{process} settles {task.attempt}: {name_of(verdict)}", after)
