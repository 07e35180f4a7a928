"""Whatever a provider writes card numbers into: none is in the database, in an answer, in a message or in a log."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest
from structlog.testing import capture_logs

from tallystick.domain.notices import AttemptNotice
from tallystick.domain.verdicts import Declined
from tallystick.flows.provider_words import MASKED
from tests.support.card_app import SETTINGS, app_of, found_in, rows
from tests.support.card_bank import DIALECTS, PLANS, Talk, bank_of
from tests.support.card_numbers import WRITTEN, completed
from tests.support.database import DEEP, Database
from tests.support.inbox import accept, drain, envelope, late_outcomes, waiting_payment
from tests.support.log_lines import lines_said
from tests.support.runtime import recover
from tests.support.spans import spans_kept

#: Of each provider another one, so that a finding says whose it is.
NUMBERS: Final = {name: completed(f"40000000000{place}{place}90") for place, name in enumerate(DIALECTS, 1)}

#: The number of the ways to write a number that begins the round of them.
FIRST: Final = range(len(WRITTEN)) if DEEP else (0,)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("name", DIALECTS)
async def test_nothing_keeps_a_card_number(database: Database, fresh_merchant: str, name: str, first: int) -> None:
    dialect, talk = DIALECTS[name], Talk(NUMBERS[name], first)
    merchant = f"{fresh_merchant}{name[:3]}"
    with capture_logs() as logged, lines_said("debug") as said_lines, spans_kept() as spans:
        async with bank_of(dialect, talk) as bank:
            settings = dialect.settings(SETTINGS, bank.url)
            async with app_of(database, merchant, settings, name) as app:
                payments = [(await app.pay(name, dialect.method, 1000 + plan))["id"] for plan in range(PLANS)]
                await recover(app.runtime, rounds=20)
                [ours] = [each for each, plan in bank.known.values() if plan == 1]
                assert ours.payment_id == payments[1]
                for event in dialect.events(ours, talk):
                    await app.deliver(event)
                await drain(app.runtime)
                events = await app.runtime.pool.fetch("SELECT event_id FROM inbox WHERE merchant_id = $1", merchant)
                assert len(events) > 3
                assert await app.ask_everything([*payments, *(row[0] for row in events)]) > PLANS + len(events)
    kept = await rows(database)
    assert talk.said > 100 and len(kept) > 50
    assert found_in([talk("the test can see it")], NUMBERS[name])
    assert not found_in(kept, NUMBERS[name])
    assert not found_in(app.heard, NUMBERS[name])
    assert not found_in([str(line) for line in logged], NUMBERS[name])
    assert len(said_lines.of("provider called")) > PLANS
    assert not found_in([str(line) for line in said_lines.lines], NUMBERS[name])
    assert not found_in([str(span.attributes) for span in spans.spans], NUMBERS[name])
    alerts = [line for line in logged if line["event"] == "card data in what a provider said"]
    said = Counter((line["provider"], line["account"], line["what"]) for line in alerts)
    assert said[name, "main", MASKED] == 2, "one at once, and one for all others when the process ends"
    assert max(said.values()) == 2


async def test_an_event_that_waits_since_an_earlier_release(database: Database, fresh_merchant: str) -> None:
    """It was stored as it came. What becomes of it has no number."""
    number = completed("400000999999999")
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        verdict = Declined(code="card_declined", message=f"card {number}", raw={"pan": number})
        [attempt] = stored.attempts
        notice = AttemptNotice(operation="authorize", attempt_id=attempt.attempt_id, verdict=verdict)
        await accept(database, [envelope("evt_of_before", notice, payment=stored.payment)])
        await drain(runtime, fresh_merchant)
        loaded = await runtime.reads.load(fresh_merchant, stored.payment.payment_id)
        assert loaded is not None and loaded.stored.payment.failure is not None
        assert loaded.stored.payment.failure.message == f"card {'*' * len(number)}"
    kept = found_in(await rows(database), number)
    assert len(kept) == 1 and "evt_of_before" in kept[0], "but for the row that it came in"
