"""``openapi``: the API's own description."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.context import AsJson
from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.interfaces.api.versions import served


def _version(date: str) -> ApiVersion:
    if (found := VERSIONS.find(date)) is None:
        raise typer.BadParameter(f"expected one of {served()}")
    return found


def openapi(
    version: Annotated[
        ApiVersion | None,
        typer.Option(
            "--version",
            help="The version of the API.",
            metavar="DATE",
            parser=_version,
            show_default=f"the newest, {VERSIONS.newest.date}",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the OpenAPI document, as GET /openapi.json answers it. It is JSON, with --json and without."""
    typer.echo(openapi_document(version or VERSIONS.newest).decode())
