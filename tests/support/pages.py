"""Pages as a browser sees them, without one: their text, links and forms, and whether they can be read."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlsplit

import httpx

#: Elements without an end.
VOID: Final = {"meta", "link", "br", "hr", "img", "input"}


class Form:
    """One form: where it goes, and what its one button sends."""

    def __init__(self, method: str, action: str) -> None:
        self.method = method
        self.action = action
        self.fields: dict[str, str] = {}
        self.label = ""


class Read(HTMLParser):
    """What a browser sees of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._parts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.forms: list[Form] = []
        self.lines: list[str] = []
        self.feed(page)
        self.text = "".join(self._parts)  # a page of a megabyte has tens of thousands

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        given = {name: value or "" for name, value in attrs}
        for name, value in given.items():
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "srcset", "data", "action"):
                (self.links if tag == "a" else self.loaded).append(value)
        if tag == "form":
            self.forms.append(Form(given["method"], given["action"]))
        if tag == "input":
            self.forms[-1].fields[given["name"]] = given["value"]
        if tag == "code" and given.get("class") == "line":
            self.lines.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self._parts.append(data)
        if self.open[-1:] == ["button"]:
            self.forms[-1].label += data
        if self.open[-1:] == ["code"] and self.lines and data.startswith("curl "):
            self.lines[-1] += data


class Browser:
    """Opens pages of one server and sends their forms, with the headers that a browser sends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=False, follow_redirects=True)

    def open(self, where: str = "/") -> Read:
        """A page, by its path or URL."""
        response = self._http.get(where)
        assert response.status_code == 200, response.text
        return Read(response.text)

    def send(self, form: Form, **headers: str) -> httpx.Response:
        """Press the form's button."""
        assert form.method == "post"
        own = {"Origin": self._url, "Accept": "text/html"}
        return self._http.request("POST", form.action, data=form.fields, headers=own | headers)

    def press(self, page: Read, label: str, path: str = "") -> Read:
        """Press the one button with a label, whose form's action ends with ``path``. Returns the page after it."""
        [form] = [each for each in page.forms if each.label == label and each.action.endswith(path)]
        response = self.send(form)
        assert response.status_code == 200, response.text
        assert urlsplit(str(response.url)).netloc == urlsplit(self._url).netloc
        return Read(response.text)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()


def contrast(one: str, other: str) -> float:
    """The ratio of two colours, ``#rrggbb``, as WCAG 2.2 counts it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
