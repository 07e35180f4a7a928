"""A record with something to see for every command of an operator, with ids and words as long as they can be."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from tallystick.access.accounts import Granted
from tallystick.access.key_store import create_key
from tallystick.domain.alert import Found
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.fee_schedule import stated_schedule
from tallystick.domain.notices import DisputeNotice
from tallystick.flows.assembly import open_runtime
from tallystick.flows.deployments import mark_release, note_configuration
from tallystick.flows.operations import operators
from tallystick.flows.operations.acts import annotate
from tallystick.flows.operations.alerts import alert_id_of, raise_alert
from tallystick.flows.operations.pauses import pause
from tallystick.flows.reconciliation.fee_schedules import set_schedule
from tallystick.flows.reconciliation.files import ImportAsked, import_file
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.reread import FILED_AS
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.kit.ids import derived_id, new_id
from tallystick.record.postgres.cases import EventResultCounts
from tallystick.record.postgres.contract_drift import DriftCounts
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts
from tallystick.record.postgres.version_use import VersionUseCounts
from tests.support.acts import asked, cases_of
from tests.support.database import Database
from tests.support.factories import InstantProvider
from tests.support.inbox import accept, drain, envelope
from tests.support.sample import SCRIPTS, SETTINGS, Client, Sample, make_sample
from tests.support.settlement_files import golden_file

#: As long as a merchant's id can be.
MERCHANT: Final = "m" * 31 + "0"

#: A merchant with a payment of its own.
OTHER: Final = "other"

#: A provider's own words, longer than a line.
LONG: Final = "ch_" + "y" * 200

#: Settings of the commands that open what was sealed.
SEALED: Final = {"sealing_keys": str(SETTINGS.sealing_keys)}


class World(NamedTuple):
    """The database, what was made in it, and where messages go. ``others``: the other merchant's payment. ``event``: a
    dead letter. ``unknown``: a dispute with an amount that nobody knows. ``case``: a refused transition. ``act``: an
    operator's note. ``alert``: one that is open. ``settlement_file``: an imported one."""

    database: Database
    sample: Sample
    others: str
    endpoint: str
    event: str
    unknown: str
    case: str
    act: str
    alert: str
    settlement_file: str


async def make_world(database: Database) -> World:
    """All of it, by the real flows; and then the longest words that there could be."""
    sample, endpoint = await make_sample(database.app_url, MERCHANT), new_id("we")
    for merchant in (MERCHANT, OTHER):
        await create_key(database.app_url, merchant, "simulator")
    async with open_runtime(SETTINGS, database.app_url, providers={"simulator": InstantProvider(SCRIPTS)}) as runtime:
        others = await Client(runtime, OTHER).create("one")
        await _unknown_amount(runtime, database, sample.captured)
        await runtime.stores.endpoint_book.register(
            MERCHANT,
            endpoint,
            url="https://hooks.example/" + "z" * 100,
            description=None,
            event_types=None,
            secret=(new_id("sec"), b"sealed"),
            limit=10,
            api_version=None,
            actor="key:test",
        )
        assert await Dispatch(runtime.stores.outbound_book, 1_000).flush(MERCHANT)
        await _count_by_hour(runtime)
        act = await _acts(runtime)
        [case, *_] = await cases_of(runtime, MERCHANT)
        alert = await _alert(runtime)
        settlement_file = await _settlement_file(runtime)
        await _reconciled(runtime)
        await _operators(runtime)
    unknown = derived_id("dp", "simulator", "main", "du")
    event = _lengthen(database)
    return World(database, sample, others, endpoint, event, unknown, case.case_id, act, alert, settlement_file)


async def _settlement_file(runtime: Runtime) -> str:
    """One with batches, and rows that cannot be read; of an account with a long name."""
    path = golden_file("stripe_payout_reconciliation")
    asked = ImportAsked(path=path, name="n" * 200, actor="key:" + "k" * 60, account="a" * 100)
    return (await import_file(runtime, asked)).file.file_id


async def _reconciled(runtime: Runtime) -> None:
    """A file whose rows are compared: some wait for somebody. And fees of an account with a long name."""
    path = golden_file("simulator")
    await import_file(runtime, ImportAsked(path=path, name="n" * 200, actor="key:" + "k" * 60))
    await ReconciliationWorker(runtime).round()
    fees = stated_schedule((Path(__file__).parents[2] / "docs/operate/fee-schedule.json").read_bytes())
    await set_schedule(runtime, asked("fee_schedule.set", "simulator/" + "a" * 100), fees)


async def _operators(runtime: Runtime) -> None:
    """The first two, and a third whom nobody has approved."""
    for name in ("ada", "b" + "o" * 30 + "b", "joe"):
        granted = Granted(roles=["admin", "operator"], merchants=None, raw_evidence=name == "ada")
        await operators.add(runtime, name, granted, actor=f"shell:{name}@{LONG}", reason="joined the team")


async def _alert(runtime: Runtime) -> str:
    found = Found(
        name="clearing_not_zero",
        about="refunds_in_flight:simulator EUR",
        severity="page",
        owner="o" * 60,
        summary="s" * 200,
        began_at=runtime.clock.now(),
    )
    assert await raise_alert(runtime, None, found)
    return alert_id_of(found.name, found.about)


async def _unknown_amount(runtime: Runtime, database: Database, payment_id: str) -> None:
    found = await runtime.reads.payment(MERCHANT, payment_id)
    assert found is not None
    moved = Movement(
        reference="txn", funds="withdrawn", amount=None, before_verdict=True, moved_amount=12, moved_currency="GBP"
    )
    notice = DisputeNotice(reference="du", state="opened", amount=1_000, currency="EUR", movements=(moved,))
    await accept(database, [envelope("unknown", notice, payment=found[0])])
    await drain(runtime)


async def _count_by_hour(runtime: Runtime) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    pool, clock = runtime.pool, runtime.clock
    refused = ("stripe", "acct_" + "a" * 16, "webhook_signature_invalid", hour)
    await RejectedDeliveryCounts(pool, clock).add({refused: 1_234_567})
    field = "data.object.payment_method_details.card_present.incremental_authorization_supported"
    await DriftCounts(pool, clock).add({("simulator", field, "unknown_value", hour): 1_234_567})
    await EventResultCounts(pool, clock).add({("simulator", "t" * 80, "duplicate_effect", hour): 1_234_567})
    await VersionUseCounts(pool, clock).add({(MERCHANT, "0123456789abcdef", "2026-11-26", hour): 1_234_567})


async def _acts(runtime: Runtime) -> str:
    """A note, a release, and an account that is paused: with names as long as they can be. Returns the note's id."""
    note = asked("annotate", new_id("pay"), "k" * 255, reason="w" * 500)
    await annotate(runtime, note)
    await mark_release(runtime, asked("release.mark", "r" * 100))
    await pause(runtime, asked("provider.pause", "simulator"), "a" * 100, 86_400_000)
    await note_configuration(runtime, "work")
    return note.act_id


def _lengthen(database: Database) -> str:
    """Returns the id of the dead letter. Of the other events one is filed as foreign, and one as to be read again."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for table in ("payment", "refund", "dispute"):
            owner.execute(f"UPDATE {table} SET provider_reference = '{LONG}' WHERE merchant_id = %s", (MERCHANT,))
        owner.execute("UPDATE inbox SET detail = %s", (LONG,))
        (dead,) = owner.execute("SELECT event_id FROM inbox WHERE state = 'dead'").fetchone() or ("",)
        applied = owner.execute(
            "SELECT event_id FROM inbox WHERE state = 'applied' ORDER BY event_id LIMIT 2"
        ).fetchall()
        for state, (event_id,) in zip(("foreign", FILED_AS[0]), applied, strict=True):
            owner.execute("UPDATE inbox SET state = %s, type = %s WHERE event_id = %s", (state, LONG, event_id))
    return str(dead)


def ids_in(row: object) -> set[str]:
    """Our ids at the top of a row of a command's JSON."""
    named = json.loads(json.dumps(row))
    assert isinstance(named, dict)
    ours = {value for name, value in named.items() if value and (name == "id" or name.endswith("_id"))}
    return ours - {named.get("provider_event_id")}
