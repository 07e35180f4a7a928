"""Which values of two parameters meet each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import pytest
from _pytest.mark import ParameterSet

from tests.support.database import DEEP


def pairs(first: Sequence[str], second: Mapping[str, object]) -> list[ParameterSet]:
    """Each of the first with each of the second, which have names, for ``parametrize`` with two arguments.

    Without depth it is each of the first with one of the second, in turn: each of both is met, not each with each.
    """
    names = list(second)
    met = product(first, names) if DEEP else [(one, names[place % len(names)]) for place, one in enumerate(first)]
    return [pytest.param(one, second[name], id=f"{one}-{name}") for one, name in met]
