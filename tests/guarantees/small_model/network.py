"""Between us and the providers: requests arrive, late or never, and so do answers."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.domain.verdicts import Unknown, Verdict
from tests.guarantees.small_model import providers
from tests.guarantees.small_model.parts import Part, Taken, name_of
from tests.guarantees.small_model.states import Request, State


class Network(Part):
    """Requests and answers on their way."""

    def steps(self, state: State) -> Iterator[Taken]:
        for request in state.requests:
            provider = self.providers[request.provider]
            rest = list(state.requests)
            rest.remove(request)
            without = state._replace(requests=tuple(rest))
            found = providers.under_key(state, request, provider)
            if found is not None:
                verdict = providers.answer_under_key(state, request, found, provider, self.rules)
                words = f"{request.provider} gets {request.attempt}, whose key it knows: {name_of(verdict)}"
                yield from self._answered(without, request, verdict, "provider knows the key", words)
                continue
            for outcome in providers.outcomes_of(state, request, capture=not self.scope.manual):
                entry, booked = providers.executed(without, request, outcome)
                words = f"{request.provider} gets {request.attempt}: {outcome}"
                verdict = providers.first_answer(booked, entry, provider)
                yield from self._answered(booked, request, verdict, "provider executes", words)
            if state.budget.lost and request.process:
                yield from self._lost(without, state, request)

    def _answered(self, state: State, request: Request, verdict: Verdict, kind: str, words: str) -> Iterator[Taken]:
        if not request.process:
            yield Taken(kind, words, state)
            return
        number = self.decided.number_of(verdict)
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
