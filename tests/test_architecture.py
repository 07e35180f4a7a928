"""The documents that name rooms and files name the ones that exist."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "tallystick"

#: Rooms have a row down to this many levels; what is deeper is named in its room's row.
LEVELS = 2

DOCUMENTS = (
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/extend/*.md")),
)

#: All others, without the releases' own documents. They have addresses and media types too, so that only files count.
OTHERS = (
    "README.md",
    "SECURITY.md",
    *sorted(
        str(p.relative_to(ROOT))
        for p in ROOT.glob("docs/**/*.md")
        if str(p.relative_to(ROOT)) not in DOCUMENTS and "releases" not in p.parts
    ),
)

#: Where a path in a document may begin: documents on the source name rooms without ``src/tallystick``.
BASES = (ROOT, SOURCE)

#: A path in code: folders, with a file at the end or without one.
_PATH = re.compile(r"(?<![\w/.{])((?:[A-Za-z_][\w.-]*/)+(?:[\w.*-]+\.(?:py|sql|md|toml|conf|txt|json))?)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ROW = re.compile(r"^\| `([a-z_/]+/)` \|", re.MULTILINE)


def rows() -> list[str]:
    """The rooms in ARCHITECTURE.md's table, in its order."""
    chapter = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("\n## Rooms\n")[1].split("\n## ")[0]
    return [row.removesuffix("/") for row in _ROW.findall(chapter)]


def rooms() -> set[str]:
    """The packages of the tree."""
    packages = (file.parent.relative_to(SOURCE) for file in SOURCE.rglob("__init__.py"))
    return {str(package) for package in packages if 0 < len(package.parts) <= LEVELS}


def missing(document: str, text: str) -> list[str]:
    """The paths in a document that name nothing in the tree. ``document``: where it is, for links."""
    named = {path for code in _CODE.findall(text) for path in _PATH.findall(code) if not _is_no_path(code, path)}
    lost = [path for path in sorted(named) if not any(list(base.glob(path)) for base in BASES)]
    here = (ROOT / document).parent
    links = {link for link in _LINK.findall(text) if "://" not in link}
    return lost + [link for link in sorted(links) if not (here / link).exists()]


def is_file(path: str) -> bool:
    """Whether a path is one of a file, and no folder."""
    return not path.endswith("/")


def _is_no_path(code: str, path: str) -> bool:
    """Routes of the API and folders whose name the reader chooses."""
    return f"/{path}" in code or f"{path}<" in code or f">/{path}" in code


def test_every_room_has_its_row_and_every_row_its_room() -> None:
    named = rows()
    assert len(named) == len(set(named)), "a room has two rows"
    assert set(named) - rooms() == set(), "rows without a room"
    assert rooms() - set(named) == set(), "rooms without a row"


def test_the_rows_stand_in_the_order_of_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    order = [room for layer in layers for room in layer.split(" | ") if room != "__main__"]
    assert [row for row in rows() if "/" not in row] == order


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_paths_in_a_document_exist(document: str) -> None:
    assert missing(document, (ROOT / document).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", OTHERS)
def test_the_files_in_a_document_exist(document: str) -> None:
    lost = missing(document, (ROOT / document).read_text(encoding="utf-8"))
    assert [path for path in lost if is_file(path) or path.startswith(("src/", "tests/", "docs/"))] == []


def test_the_changelog_links_to_what_exists() -> None:
    """It names files as they were, and links to what is there now."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert missing("CHANGELOG.md", _CODE.sub("", text)) == []


def test_a_path_that_does_not_exist_is_found() -> None:
    assert missing("ARCHITECTURE.md", "Look at `flows/payments/replies.py` and `record/journal.py`.") == [
        "flows/payments/replies.py"
    ]
    assert missing("docs/extend/add-an-edge.md", "[this](no-such.md), [that](add-an-invariant.md)") == ["no-such.md"]
    assert missing("CONTRIBUTING.md", "`GET /v1/payments/{id}`, `providers/<name>/setup.py`, `providers/`") == []
