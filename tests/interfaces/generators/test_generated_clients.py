"""Clients that two common generators make of the OpenAPI document: they compile, and have a type for each error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.interfaces.generators.tools import HERE, node_tools, python_tools
from tests.support.database import DEEP
from tests.support.openapi import published_bytes, published_document

pytestmark = pytest.mark.skipif(not DEEP, reason="deep: two generators are installed, and their clients are compiled")

DOCUMENT: dict[str, Any] = published_document()


def errors() -> list[tuple[str, str, str]]:
    """Operation, status and group of every error response."""
    return [
        (operation["operationId"], status, operation["tags"][0])
        for item in DOCUMENT["paths"].values()
        for operation in item.values()
        for status in operation["responses"]
        if status[0] in "45"
    ]


def ran(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a program wrote. Fails with it where the program fails."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4_000:]
    return done.stdout + done.stderr


def test_the_python_client(tmp_path: Path) -> None:
    tools = python_tools()
    (tmp_path / "openapi.json").write_bytes(published_bytes())
    (tmp_path / "options.yaml").write_text("post_hooks: []\n")  # they would format the output
    arguments = ("generate", "--path", "openapi.json", "--meta", "none", "--output-path", "shop_client")
    more = ("--config", "options.yaml", "--fail-on-warning")
    ran(sys.executable, "-m", "openapi_python_client", *arguments, *more, cwd=tmp_path, PYTHONPATH=str(tools))
    use = (HERE / "use_python_client.txt").read_text("utf-8")
    (tmp_path / "use_client.py").write_text(use, "utf-8")
    (tmp_path / "errors.json").write_text(json.dumps(errors()), "utf-8")
    ran(sys.executable, "use_client.py", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    ran(sys.executable, "-m", "mypy", "--no-incremental", "use_client.py", cwd=tmp_path)


def test_the_typescript_client(tmp_path: Path) -> None:
    tools = node_tools()
    (tmp_path / "openapi.json").write_bytes(published_bytes())
    ran(tools / "openapi-typescript", "openapi.json", "-o", "schema.ts", cwd=tmp_path)
    lines = [
        'import type { components, operations, webhooks } from "./schema";',
        'type Problem = components["schemas"]["Problem"];',
        "type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;",
        'type Outcomes = Record<Problem["outcome"], true>;',
        "export const outcomes: Outcomes = { executed: true, not_executed: true, unknown: true };",
        'type Answer<N extends keyof operations> = operations[N]["responses"];',
        'type Error<A> = A extends { content: { "application/problem+json": infer B } } ? B : never;',
        'export const code: Problem["code"] = "outcome_unknown";',
        "// @ts-expect-error: it is no code",
        'export const noCode: Problem["code"] = "no_such_code";',
    ]
    lines += [
        f'export const e{number}: Same<Error<Answer<"{name}">[{status}]>, Problem> = true;'
        for number, (name, status, _) in enumerate(errors())
    ]
    lines += [
        f'export const w{number}: webhooks["{type_}"]["post"]["requestBody"]["content"]["application/json"]["type"]'
        f' = "{type_}";'
        for number, type_ in enumerate(DOCUMENT["webhooks"])
    ]
    (tmp_path / "use.ts").write_text("\n".join(lines) + "\n", "utf-8")
    ran(tools / "tsc", "--noEmit", "--strict", "--target", "es2022", "use.ts", "schema.ts", cwd=tmp_path)
