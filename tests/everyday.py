"""Which examples of a test the everyday suite runs: the others wait for `make slow`."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def slow_but_for(
    is_everyday: Callable[[Any], bool], values: Iterable[Any], name: Callable[[Any], str] = str
) -> list[Any]:
    """Parameters of a test, those slow that are not for every day."""
    return [pytest.param(v, marks=() if is_everyday(v) else pytest.mark.slow, id=name(v)) for v in values]
