"""One acquirer for all of these suites; who needs other options starts another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.acquirer import AcquirerProcess, acquirer


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path_factory.mktemp("acquirer") / "books.sqlite") as process:
        yield process
