"""How the files of each account are read, from a TOML file: one ``[[account]]`` for each."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.settlement_row import RowKind
from tallystick.flows.reconciliation.formats.base import FileRefused, ReadOptions, Reversals
from tallystick.flows.reconciliation.registry import AUTO

#: A mapping file is a page.
_MAX_BYTES: Final = 1 << 20


class AccountOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account of a provider or bank, and how its files are read. ``mapping``: the path of a mapping file for
    ``generic_csv``, beside this one or whole."""

    provider: str
    account: str
    format: str = AUTO
    zone: str | None = None
    encoding: str = "utf-8"
    kinds: dict[str, RowKind] = {}
    reversals: Reversals = "as_written"
    mapping: str | None = None


class _Accounts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    account: list[AccountOptions] = []


def options_for(config: str | None, provider: str | None, account: str) -> AccountOptions | None:
    """What the file says of an account; None where it says nothing, or there is no file. Raises FileRefused."""
    if config is None:
        return None
    try:
        found = msgspec.convert(_toml(Path(config), "the file of accounts"), _Accounts)
    except msgspec.ValidationError as error:
        raise FileRefused("bad_accounts", f"the file of accounts: {error}") from None
    named = [each for each in found.account if (each.provider, each.account) == (provider, account)]
    if len(named) > 1:
        raise FileRefused("bad_accounts", f"the file of accounts names {provider}/{account} more than once")
    return named[0] if named else None


def read_options(known: AccountOptions | None, config: str | None, mapping: Path | None = None) -> ReadOptions:
    """How a file is read. ``mapping`` is preferred to the account's own. Raises FileRefused."""
    if mapping is None and known is not None and known.mapping is not None and config is not None:
        mapping = Path(config).parent / known.mapping
    mapped = None if mapping is None else _toml(mapping, "the mapping file")
    if known is None:
        return ReadOptions(mapping=mapped)
    try:
        "".encode(known.encoding)
    except LookupError:
        raise FileRefused("bad_accounts", f"there is no encoding {known.encoding}") from None
    return ReadOptions(
        zone=known.zone, encoding=known.encoding, kinds=known.kinds, reversals=known.reversals, mapping=mapped
    )


def read_digest(options: ReadOptions) -> str:
    """What tells two ways of reading a file apart."""
    return hashlib.sha256(msgspec.json.encode(options, order="sorted")).hexdigest()


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES:
            raise FileRefused("bad_accounts", f"{what} is too large")
        return tomllib.loads(content.decode())
    except OSError as error:
        raise FileRefused("bad_accounts", f"cannot read {what}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise FileRefused("bad_accounts", f"{what} is not TOML") from None
