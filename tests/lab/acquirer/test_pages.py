"""The back office as a page: each button does what its call does, and no page of another site can press one."""

from __future__ import annotations

import http.client
import json
import re
import shlex
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest

from tallystick.kit.card_data import has_card_like_number
from tallystick.lab.acquirer.control_table import CONTROLS, ON_THE_ACQUIRER, Control
from tallystick.lab.acquirer.pages import CONTENT_SECURITY_POLICY, FORMS
from tallystick.lab.acquirer.wording import EXPONENTS, duration, money, named
from tallystick.providers.simulator.calls import EXPONENTS as PROVIDER_EXPONENTS
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import act, charge, new_key
from tests.support.pages import Browser, Read, contrast
from tests.support.polling import eventually
from tests.support.ports import free_port

#: Controls about one payment.
ABOUT_PAYMENTS = [control for control in CONTROLS if control not in ON_THE_ACQUIRER]

CARD = "4111 1111 1111 1111"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    """Its steps follow at once, and its webhooks reach nobody."""
    nowhere = f"http://127.0.0.1:{free_port()}/"
    books = tmp_path_factory.mktemp("office") / "books.sqlite"
    with acquirer(books, late_ms=1, webhook_url=nowhere, retry_ms="60000") as process:
        yield process


@pytest.fixture(scope="module")
def browser_of_ours(office: AcquirerProcess) -> Iterator[Browser]:
    browser = Browser(office.url)
    yield browser
    browser.close()


def prepared(office: AcquirerProcess, control: Control) -> dict[str, Any]:
    """The request of a new payment on which a control is possible."""
    holds = control.name in ("expire", "dashboard_capture")
    method = {"complete": "sim_action_required", "abandon": "sim_action_required", "late_capture": "sim_declined"}
    body = charge(method.get(control.name, "sim_ok"), capture=not holds)
    made = office.call("POST", "/sim/charges", body, new_key())[1]
    if control.name == "refund_failed":
        act(office, made, "refunds", 400)
    if "/disputes/" in control.path:
        dispute = office.call("POST", f"/sim/charges/{made['charge_id']}/dispute", {})[1]["dispute_id"]
        for step in ("withdraw", "win", "withdraw") if control.name == "dispute_return" else ():
            office.call("POST", f"/sim/disputes/{dispute}/{step}", {})
    return body


def now(office: AcquirerProcess, body: dict[str, Any]) -> dict[str, Any]:
    """What the acquirer says of a payment's one charge."""
    [row] = office.call("GET", f"/sim/controls?payment_id={body['payment_id']}")[1]["data"]
    found: dict[str, Any] = row
    return found


def call_of(row: dict[str, Any], control: Control) -> dict[str, Any]:
    """The possible call that is one of a control."""
    pattern = re.escape(control.path).replace(r"\{id\}", "[^/]+")
    return next(
        each
        for each in row["controls"]
        if each["name"] == control.name and re.fullmatch(pattern, each["path"]) and each["body"] == control.body
    )


def told(office: AcquirerProcess, body: dict[str, Any]) -> list[str]:
    return [event["type"] for event in office.events(body["payment_id"])]


def state(office: AcquirerProcess, body: dict[str, Any]) -> Any:
    """Where a payment stands, without the names of its own."""
    money_of = [
        {name: row[name] for name in ("authorized", "captured", "refunded", "disputed", "disputed_withdrawn")}
        for row in office.charges(body["payment_id"])
    ]
    row = now(office, body)
    return row["status"], [each["name"] for each in row["controls"]], money_of, told(office, body)


@pytest.mark.parametrize("control", ABOUT_PAYMENTS, ids=lambda control: f"{control.name} {control.path.split('/')[2]}")
def test_a_button_does_what_its_call_does(office: AcquirerProcess, browser_of_ours: Browser, control: Control) -> None:
    called, pressed = prepared(office, control), prepared(office, control)
    before = told(office, called)
    call = call_of(now(office, called), control)
    assert call["does"] == control.does

    page = browser_of_ours.open(f"/?charge={now(office, called)['charge_id']}")
    body = json.dumps(call["body"], separators=(",", ":")) if call["body"] else None
    [line] = [
        line
        for line in map(shlex.split, page.lines)
        if line[:4] == ["curl", "-X", "POST", office.url + call["path"]] and line[5:6] == ([body] if body else [])
    ]
    assert office.call("POST", line[3].removeprefix(office.url), json.loads(body) if body else None)[0] == 200

    row = now(office, pressed)
    same = call_of(row, control)
    after = browser_of_ours.press(browser_of_ours.open(f"/?charge={row['charge_id']}"), same["label"], same["path"])
    assert f"Done: {control.does}." in after.text
    arrives = [each["event"] for each in call["arrives"]]
    for payment in (called, pressed):
        eventually(partial(told, office, payment), until=lambda types: types == before + arrives)
    assert [each["after_ms"] for each in call["arrives"]] == list(range(len(arrives)))
    assert state(office, called) == state(office, pressed)


def test_a_button_that_came_too_late_says_so(office: AcquirerProcess, browser_of_ours: Browser) -> None:
    expires = next(control for control in CONTROLS if control.name == "expire")
    body = prepared(office, expires)
    path = call_of(now(office, body), expires)["path"]
    page = browser_of_ours.open(f"/?charge={now(office, body)['charge_id']}")
    browser_of_ours.press(page, expires.label, path)
    refused = browser_of_ours.send(next(form for form in page.forms if form.action == FORMS + path))
    assert refused.status_code == 409
    assert "Not possible any more: charge not authorized." in Read(refused.text).text


def test_buttons_of_the_acquirer_as_a_whole(office: AcquirerProcess, browser_of_ours: Browser) -> None:
    labels = {control.name: control.label for control in ON_THE_ACQUIRER}
    page = browser_of_ours.open()
    assert "paused" in browser_of_ours.press(page, labels["pause_webhooks"]).text
    assert office.call("GET", "/sim/controls")[1]["webhooks"]["state"] == "paused"
    browser_of_ours.press(page, labels["resume_webhooks"])
    assert office.call("GET", "/sim/controls")[1]["webhooks"]["state"] == "sent"
    browser_of_ours.press(page, labels["resend_webhooks"])
    assert office.call("GET", "/sim/webhooks/report")[0] == 200
    for health in ("unavailable", "busy", "timeout", "reset", "slow", "healthy"):
        name = "healthy" if health == "healthy" else f"next_{health}"
        assert health in browser_of_ours.press(page, labels[name]).text
        assert office.call("GET", "/sim/health")[1]["next"] == health


def test_the_next_instruction_meets_what_was_said_and_is_not_booked(running: AcquirerProcess) -> None:
    http_client = httpx.Client(base_url=running.url, timeout=20, trust_env=False)

    def pay(patience_s: float = 20, **said: Any) -> tuple[httpx.Response | None, bool]:
        assert running.call("POST", "/sim/health", said)[0] == 200
        body = charge()
        try:
            headers = {"Idempotency-Key": new_key()}
            answer = http_client.post("/sim/charges", json=body, headers=headers, timeout=patience_s)
        except httpx.TransportError:
            answer = None
        return answer, running.call("GET", f"/sim/operations/{body['attempt_id']}")[0] == 200

    unavailable, booked = pay(next="unavailable", calls=1)
    assert unavailable is not None and (unavailable.status_code, booked) == (503, False)
    busy, booked = pay(next="busy")
    assert busy is not None and (busy.status_code, busy.headers["Retry-After"], booked) == (429, "2", False)
    assert pay(next="reset") == (None, False)
    assert pay(0.2, next="timeout") == (None, False)
    slow, booked = pay(next="slow", calls=2)
    assert slow is not None and (slow.status_code, booked) == (200, True)
    assert running.call("GET", "/sim/health")[1] == {"next": "slow", "calls": 1}
    healthy, booked = pay(next="healthy")
    assert healthy is not None and (healthy.status_code, booked) == (200, True)
    for said in ({}, {"next": "dead"}, {"next": "busy", "calls": 0}, {"next": "busy", "calls": "1"}):
        assert running.call("POST", "/sim/health", said)[0] == 400
    http_client.close()


@pytest.mark.parametrize(("button", "state"), [("Complete the payment", "captured"), ("Fail the payment", "declined")])
def test_the_customer_decides_on_the_page_that_the_answer_names(
    office: AcquirerProcess, browser_of_ours: Browser, button: str, state: str
) -> None:
    body = charge("sim_action_required", amount=1_999)
    made = office.call("POST", "/sim/charges", body, new_key())[1]
    url = made["next_action"]["url"]
    assert url == f"{office.url}/sim/charges/{made['charge_id']}/complete"
    assert [event["data"]["next_action"]["url"] for event in office.events(body["payment_id"])] == [url]
    page = browser_of_ours.open(url)
    assert "19.99 EUR" in page.text
    after = browser_of_ours.press(page, button)
    assert ("Payment completed" if state == "captured" else "Payment failed") in after.text
    assert now(office, body)["status"] == state
    assert after.forms == [] and browser_of_ours.open(url).text == after.text
    other = next(form for form in page.forms if form.label != button)
    late = browser_of_ours.send(other)
    assert (late.status_code, Read(late.text).text) == (409, after.text), "the first decision stands"
    assert now(office, body)["status"] == state


@pytest.mark.parametrize("button", ["Complete the payment", "Fail the payment"])
def test_the_customer_s_page_leads_back_to_the_shop(
    office: AcquirerProcess, browser_of_ours: Browser, button: str
) -> None:
    """Where the shop said so, once there is nothing to decide any more."""
    shop = 'https://shop.example/thanks?order=7&from="bank"'.replace('"', "%22")
    made = office.call("POST", "/sim/charges", charge("sim_action_required") | {"return_url": shop}, new_key())[1]
    page = browser_of_ours.open(made["next_action"]["url"])
    assert shop not in page.links
    after = browser_of_ours.press(page, button)
    assert after.links.count(shop) == 1 and "You can close this page" not in after.text
    without = office.call("POST", "/sim/charges", charge("sim_action_required"), new_key())[1]
    ended = browser_of_ours.press(browser_of_ours.open(without["next_action"]["url"]), button)
    assert "Back to the shop" not in ended.text and "You can close this page" in ended.text


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "//shop.example", "shop.example", "http://", "http://[", "https://a b", "data:text/html,x",
     "https://x/\n", "https://shop.example/" + "x" * 2_048, "https://café.example/", 7],
)  # fmt: skip
def test_what_is_no_address_of_a_page_is_refused(office: AcquirerProcess, url: Any) -> None:
    body = charge("sim_action_required") | {"return_url": url}
    status, said = office.call("POST", "/sim/charges", body, new_key())
    assert status == 400 and "return_url" in said["error"]


def test_webhooks_are_no_control_where_there_are_none(tmp_path: Path) -> None:
    """Each would be a 409."""
    with acquirer(tmp_path / "books.sqlite") as deaf:
        offered = {each["name"] for each in deaf.call("GET", "/sim/controls")[1]["acquirer"]}
        page = Read(httpx.get(deaf.url).text)
        assert deaf.call("POST", "/sim/webhooks/pause")[0] == 409
    assert offered == {each.name for each in ON_THE_ACQUIRER if "webhook" not in each.path}
    assert {form.label for form in page.forms} == {each.label for each in ON_THE_ACQUIRER if each.name in offered}


STRANGERS: dict[str, dict[str, str]] = {
    "another site": {"Origin": "http://evil.example"},
    "a sandboxed page": {"Origin": "null"},
    "another port here": {"Origin": "http://127.0.0.1:1"},
    "a name that leads here": {"Origin": "http://evil.example:8401", "Host": "evil.example:8401"},
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_page_of_another_site_changes_nothing(office: AcquirerProcess, who: str) -> None:
    made = office.call("POST", "/sim/charges", charge("sim_action_required"), new_key())[1]
    paths = [
        f"/sim/charges/{made['charge_id']}/complete",  # the call itself, which needs no particular content type
        f"{FORMS}/sim/charges/{made['charge_id']}/complete",
        f"/customer/{made['charge_id']}/complete",
        "/sim/health",
        "/sim/charges",
    ]
    for path in paths:
        assert _posted(office, path, STRANGERS[who]) == (403, {"error": "cross_site"})
    waiting = office.call("GET", f"/sim/operations/{made['attempt_id']}")[1]
    assert waiting["status"] == "requires_action"


def test_a_form_needs_an_origin_and_a_page_a_name_of_ours(office: AcquirerProcess) -> None:
    made = office.call("POST", "/sim/charges", charge("sim_action_required"), new_key())[1]
    own = f"/sim/charges/{made['charge_id']}/complete"
    for path in (f"{FORMS}{own}", f"/customer/{made['charge_id']}/complete"):
        assert _posted(office, path, {}) == (403, {"error": "cross_site"})
    for path in ("/", own):
        answer = httpx.get(office.url + path, headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()) == (403, {"error": "cross_site"})
        assert httpx.get(office.url + path, headers={"Host": f"localhost:{office.port}"}).status_code == 200
    assert _posted(office, own, {})[0] == 200, "a program, which has no origin"


FORM = "application/x-www-form-urlencoded"
PART = b'--x\r\nContent-Disposition: form-data; name="next"\r\n'


@pytest.mark.parametrize(
    ("content_type", "sent"),
    [
        (FORM, b"next=slow&calls=" + b"9" * 5_000),
        (FORM, b"next=slow&calls=1&calls=x"),
        (f"{FORM}; charset=none", b"next=slow"),
        (f"{FORM}; charset=base64", b"next=slow"),
        (FORM, b"next=slow&more=1"),
        ("multipart/form-data", b"next=slow"),
        ("multipart/form-data; boundary=x", b"--x\r\nnext"),
        ("multipart/form-data; boundary=x", PART + b"Content-Type: text/plain; charset=none\r\n\r\nslow\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", PART + b"Content-Transfer-Encoding: none\r\n\r\nslow\r\n--x--\r\n"),
    ],
)
def test_what_is_no_form_is_refused(office: AcquirerProcess, content_type: str, sent: bytes) -> None:
    headers = {"Content-Type": content_type, "Origin": office.url}
    answer = httpx.post(f"{office.url}{FORMS}/sim/health", content=sent, headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]
    assert office.call("GET", "/sim/health")[1]["next"] == "healthy"


def _posted(office: AcquirerProcess, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", office.port, timeout=30)
    form = {"Content-Type": "application/x-www-form-urlencoded", "Idempotency-Key": new_key()}
    connection.request("POST", path, b"", form | headers)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


def test_pages_run_nothing_and_load_nothing_from_elsewhere(office: AcquirerProcess) -> None:
    made = office.call("POST", "/sim/charges", charge("sim_action_required"), new_key())[1]
    for path in ("/", f"/sim/charges/{made['charge_id']}/complete"):
        answer = httpx.get(office.url + path)
        page = Read(answer.text)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["referrer-policy"] == "same-origin", "no-referrer would hide the origin of a form"
        assert page.open == []
        assert page.elements.isdisjoint({"script", "style", "iframe", "object", "embed", "base", "img"})
        assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
        assert all(where.startswith("/") for where in (*page.loaded, *page.links))
        assert len(page.ids) == len(set(page.ids))
    assert "unsafe" not in CONTENT_SECURITY_POLICY and "*" not in CONTENT_SECURITY_POLICY
    style = httpx.get(f"{office.url}/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text and "@import" not in style.text


def test_pages_show_nothing_like_a_card_number(office: AcquirerProcess) -> None:
    evil = {"merchant_id": CARD, "payment_id": f"pay-{CARD.replace(' ', '-')}", "currency": CARD.replace(" ", "")}
    body = charge("sim_action_required", amount=int(CARD.replace(" ", ""))) | evil
    made = office.call("POST", "/sim/charges", body, new_key())[1]
    assert made["charge_id"]
    office.call("POST", "/sim/charges", charge(amount=int(CARD.replace(" ", ""))) | {"merchant_id": "<b>"}, new_key())
    for path in ("/", f"/?charge={made['charge_id']}", f"/sim/charges/{made['charge_id']}/complete"):
        text = httpx.get(office.url + path).text
        assert not has_card_like_number(text)
        assert "[digits left out]" in text
        assert "<b>" not in text
    assert named(f"pay_{'0123456789abcdef' * 2} of {CARD}") == f"pay_{'0123456789abcdef' * 2} of [digits left out]"


def test_pages_say_how_long_things_take_and_page_on(office: AcquirerProcess, browser_of_ours: Browser) -> None:
    for _ in range(21):
        office.call("POST", "/sim/charges", charge(), new_key())
    page = browser_of_ours.open()
    for said in ("0.001 s after the one before it", "approved after 0.3 s", "held for 1 min", "settled at once"):
        assert said in page.text
    charges = [name for name in page.ids if name.startswith("ch_")]
    older = browser_of_ours.open(next(link for link in page.links if link.startswith("/?cursor=")))
    assert len(charges) == 20 and not set(charges) & set(older.ids)
    assert "There is no such charge." in browser_of_ours.open("/?charge=ch_none").text
    assert httpx.get(f"{office.url}/?cursor=x").status_code == 400


def test_amounts_and_spans_in_words() -> None:
    assert dict(PROVIDER_EXPONENTS) == EXPONENTS, "the connector counts as the acquirer does"
    assert [money(1_250, "EUR"), money(120_000, "JPY"), money(1_250, "KWD"), money(1_250, "IDR"), money(5, "XXX")] == [
        "12.50 EUR",
        "120,000 JPY",
        "1.250 KWD",
        "1,250 IDR",
        "5 minor units of XXX",
    ]
    assert [duration(ms) for ms in (0, 300, 5_000, 90_000, 28_800_000)] == ["0 s", "0.3 s", "5 s", "1.5 min", "8 h"]


def test_colours_are_readable_in_both_schemes() -> None:
    """4.5 to 1 at least, as WCAG 2.2 asks of text."""
    style = files("tallystick.lab.acquirer").joinpath("templates", "style.css").read_text("utf-8")
    for scheme in re.findall(r":root \{([^}]*)\}", style):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", scheme))
        inks = ("text", "quiet", "link", "good", "bad", "wait")
        pairs = {(ink, ground): (colours[ink], colours[ground]) for ink in inks for ground in ("page", "card", "code")}
        pairs["paper", "link"] = (colours["paper"], colours["link"])
        assert {pair: ratio for pair, both in pairs.items() if (ratio := contrast(*both)) < 4.5} == {}
