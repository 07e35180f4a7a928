"""Forms that only our own pages can send.

Each form has a token: an HMAC over the address that it is sent to, by a key that only the browser's cookie and the
record know. A foreign page can make a browser send our cookie, though SameSite=Strict forbids it, and cannot know the
token. A token of one form is of no use for another.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from markupsafe import Markup

#: The hidden field with the token.
TOKEN_FIELD: Final = "form_token"

#: The ids of ten thousand things that were previewed, and a reason.
MAX_FORM_BYTES: Final = 1024 * 1024

#: As many ids, and what stands beside them.
MAX_FIELDS: Final = 12_000

_FORM: Final = "application/x-www-form-urlencoded"


class FormRefused(Exception):
    """The form is not one of ours, or cannot be read. Nothing was done."""


class Form:
    """What was sent. A field that was not sent is empty."""

    def __init__(self, fields: Sequence[tuple[str, str]] = ()) -> None:
        self._fields = fields

    def get(self, name: str) -> str:
        """The first value of a field, without space around it."""
        return next((value.strip() for field, value in self._fields if field == name), "")

    def exact(self, name: str) -> str:
        """The first value of a field as it was typed: of a password."""
        return next((value for field, value in self._fields if field == name), "")

    def all(self, name: str) -> list[str]:
        """Every value of a field, as of boxes that are ticked."""
        return [value for field, value in self._fields if field == name]


def token_for(secret: str, action: str) -> str:
    """The token of a form that is sent to ``action``, the path of an address."""
    return hmac.new(secret.encode(), b"form " + action.encode(), hashlib.sha256).hexdigest()


def token_field(secret: str, action: str) -> Markup:
    """The hidden field of a form."""
    return Markup('<input type="hidden" name="{}" value="{}">').format(TOKEN_FIELD, token_for(secret, action))


def read_form(body: bytes, content_type: str) -> Form:
    """The fields of a body. Raises FormRefused."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise FormRefused("A form was expected.")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:  # a UnicodeDecodeError is one
        raise FormRefused("The form cannot be read.") from None
    if any("\x00" in value for _, value in fields):
        raise FormRefused("The form cannot be read.")
    return Form(fields)


def require_own_form(form: Form, secret: str, path: str, headers: Mapping[str, str]) -> None:
    """The form was sent by one of our pages, to this path. Raises FormRefused."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        raise FormRefused("The form was sent by another site.")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise FormRefused("The form was sent by another site.")
    if not secret or not hmac.compare_digest(form.get(TOKEN_FIELD).encode(), token_for(secret, path).encode()):
        raise FormRefused("The form is not of this sign-in. Load the page again, and send it again.")
