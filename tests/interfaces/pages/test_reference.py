"""The page of the API's reference: complete, and safe to open."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, cast

import httpx
import pytest
from litestar import Litestar

from tallystick.domain.errors import ERRORS
from tallystick.interfaces.api.app import create_app
from tallystick.interfaces.pages.reference import reference_page
from tallystick.interfaces.pages.rendering import STYLESHEET
from tallystick.settings.load import Settings
from tests.support.openapi import published_document
from tests.support.pages import Read, contrast

DOCUMENT: dict[str, Any] = published_document()


@cache
def app() -> Litestar:
    """It needs no database for these pages."""
    return create_app(Settings(data_dir="unused"), "postgresql://unused")


@cache
def read(page: str) -> Read:
    """To read the whole reference takes seconds."""
    return Read(page)


async def get(path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=cast(Any, app()))
    async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
        return await client.get(path)


@pytest.mark.parametrize("path", ["/docs", "/docs/style.css"])
async def test_nothing_unsafe_is_allowed(path: str) -> None:
    response = await get(path)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    allowed = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert allowed == {
        "default-src": "'none'",
        "style-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["request-id"]


@pytest.mark.exhaustive
async def test_it_loads_nothing_but_our_stylesheet() -> None:
    page = read((await get("/docs")).text)
    assert page.loaded == ["/docs/style.css"]
    assert page.elements.isdisjoint({"script", "style", "iframe", "form", "object", "embed", "base"})
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    style = await get("/docs/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text and "@import" not in style.text


@pytest.mark.exhaustive
async def test_it_is_one_well_formed_page_whose_links_lead_somewhere() -> None:
    response = await get("/docs")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    page = read(response.text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if link not in {f"#{id_}" for id_ in page.ids}} == {"/openapi.json"}


@pytest.mark.exhaustive
async def test_it_shows_all_that_the_document_has() -> None:
    page = read((await get("/docs")).text)
    shown = set(page.ids)
    for section in ("paths", "webhooks"):
        for path, item in DOCUMENT[section].items():
            assert path in page.text
            for operation in item.values():
                assert operation["operationId"] in shown
                assert operation["description"].replace("`", "") in page.text
    assert {f"type-{name}" for name in DOCUMENT["components"]["schemas"]} <= shown
    assert {f"error-{code}" for code in ERRORS} <= shown
    for schema in DOCUMENT["components"]["schemas"].values():
        for field in schema.get("properties", {}).values():
            assert field["description"].replace("`", "") in page.text


def test_what_the_document_says_is_escaped() -> None:
    evil = published_document()
    evil["info"]["description"] = "<script>alert(1)</script> `<b>`"
    evil["paths"]["/healthz"]["get"]["summary"] = '"><img src=x>'
    page = reference_page(json.dumps(evil).encode()).decode()
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;" in page and "<code>&lt;b&gt;</code>" in page


def test_colours_are_readable_in_both_schemes() -> None:
    """4.5 to 1 at least, as WCAG 2.2 asks of text."""
    light, dark = re.findall(r":root \{([^}]*)\}", STYLESHEET.decode())
    for scheme in (light, dark):
        colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", scheme))
        inks = ("text", "quiet", "link", "get", "post", "delete", "message", "need")
        grounds = ("page", "card", "code")
        pairs = {(ink, ground): contrast(colours[ink], colours[ground]) for ink in inks for ground in grounds}
        assert {pair: ratio for pair, ratio in pairs.items() if ratio < 4.5} == {}
