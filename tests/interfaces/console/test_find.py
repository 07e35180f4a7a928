"""Whatever has a name is found by it, and leads to its page."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import asyncpg

from tallystick.domain.operator_act import OperatorAct
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.reconciliation.reports import compare_report
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tests.support.console_record import Here, filled
from tests.support.database import NewDatabase
from tests.support.settlement_files import golden_file
from tests.support.settlement_imports import imported, stripe_rows

#: A trace as a merchant's request has it.
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

#: A name that an address has to quote.
ODD = "po 1/&?#<>"


async def _named(here: Here, folder: Path) -> dict[str, tuple[str, str]]:
    """What is named -> a name of it, and where it leads."""
    runtime, scene = here.console.process.runtime, here.scene
    act: OperatorAct = asked_act("operator:kim", None, "annotate", "dep_1", "a mark").done({}, utc_now())
    await runtime.stores.acts.record(act)
    file = (await imported(runtime, stripe_rows(3, "po_7"), folder)).file.file_id
    content = golden_file("adyen_accounting").read_bytes()
    report = (await imported(runtime, content, folder, zone="Europe/Amsterdam")).file.file_id
    await compare_report(runtime, report, "service:reconciliation")
    request = new_id("apr")
    owner = await asyncpg.connect(here.database.owner_url)
    try:
        await owner.execute(
            "UPDATE instruction SET traceparent = $2 WHERE merchant_id = 'shop' AND idempotency_key = $1",
            "order-1044",
            f"00-{TRACE}-00f067aa0ba902b7-01",
        )
        traced = await owner.fetchval("SELECT payment_id FROM instruction WHERE idempotency_key = 'order-1044'")
        delivery = await owner.fetchval(
            "SELECT d.delivery_id FROM delivery d JOIN inbox e USING (provider, account, provider_event_id)"
            " WHERE e.event_id = $1",
            scene.event_ids[0],
        )
        provider_event = await owner.fetchval(
            "SELECT provider_event_id FROM inbox WHERE event_id = $1", scene.event_ids[0]
        )
        await owner.execute(
            "INSERT INTO api_key (merchant_id, key_id, secret_hash, created_at) VALUES ('shop', 'kfind', 'x', now())"
        )
        await owner.execute(
            "INSERT INTO approval_request (request_id, act, target, arguments, shown, shown_hash, authors, needed,"
            " reason, requested_by, requested_at, expires_at) VALUES ($1, 'operator.add', 'kim', '{}', '{}', 'x', '{}',"
            " 1, 'x', 'operator:ada', now(), now() + interval '7 days')",
            request,
        )
    finally:
        await owner.close()
    await here.console.invite("viewer", operator_id="kim", invitation="invited-kim")
    return {
        "merchant": ("shop", "/console/merchants/shop"),
        "API key": ("kfind", "/console/merchants/shop"),
        "endpoint": (scene.endpoint_id, f"/console/merchants/shop/endpoints/{scene.endpoint_id}"),
        "trace": (TRACE, f"/console/payments/{traced}"),
        "nobody's event": (scene.event_ids[0], f"/console/dead-letters/rows/{scene.event_ids[0]}"),
        "the provider's name of it": (provider_event, f"/console/dead-letters/rows/{scene.event_ids[0]}"),
        "delivery": (delivery, f"/console/dead-letters/rows/{scene.event_ids[0]}"),
        "alert": (scene.alert_id, f"/console/alerts/rows/{scene.alert_id}"),
        "operator": ("kim", "/console/operators/kim"),
        "act": (act.act_id, f"/console/acts?act_id={act.act_id}"),
        "approval": (request, f"/console/approvals/{request}"),
        "settlement file": (file, f"/console/settlement-files/{file}"),
        "a row of it": (f"{file}/2", f"/console/settlement-files/{file}?after=1"),
        "report": (report, f"/console/settlement-files/{report}"),
        "batch": ("po_7", f"/console/settlement-files/{file}"),
    }


async def test_every_name_leads_to_what_it_names(new_database: NewDatabase, tmp_path: Path) -> None:
    async with filled(new_database) as here:
        named = await _named(here, tmp_path)
        person = here.console.person("operator", "auditor", "admin")
        limited = here.console.person("operator", "auditor", operator_id="grace", merchants=["other"])
        reader = here.console.person("viewer", operator_id="vic")
        for what, (name, leads) in named.items():
            found = await person.see("/console/find", q=name)
            assert (found.status_code, found.headers.get("location")) == (303, leads), (what, found.text[-600:])
            shown = await person.see(leads)
            assert shown.status_code == 200, what
            hidden = await limited.see("/console/find", q=name)
            assert hidden.status_code == 200 and "Nothing has the name" in hidden.text, what
        for what in ("operator", "approval"):  # their pages need more than to read
            assert "Nothing has the name" in (await reader.see("/console/find", q=named[what][0])).text
        assert "a mark" in (await person.see(named["act"][1])).text
        row = (await person.see(named["a row of it"][1])).text
        assert "ch_1<" in row and "ch_0<" not in row
        report = (await person.see(named["report"][1])).text
        assert "Compared with the record, never posted" in report and "unexplained: not in record" in report
        assert "Nothing has the name" in (await person.see("/console/find", q=ODD)).text
        assert (await person.see(f"/console/settlement-files/{quote(ODD, safe='')}")).status_code == 404


async def test_what_several_things_are_called_is_a_list(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        await here.console.invite("viewer", operator_id="shop", invitation="invited-shop")
        shown = (await here.console.person("viewer", "auditor").see("/console/find", q="shop")).text
        assert "2 things have the name" in shown
        assert 'href="/console/merchants/shop"' in shown and 'href="/console/operators/shop"' in shown
