"""Checks of constructor arguments that all families share."""

from typing import Any

from jseq.errors import OptionError


def at_least(least: int, **numbers: Any) -> None:
    """Refuses what is no whole number from `least` on, None included."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            missing = ": it cannot be inferred from x" if number is None else ""
            raise OptionError(f"{name} must be a whole number of at least {least}, got {number!r}{missing}.")


def inferable(**sizes: Any) -> None:
    """Refuses sizes that are no whole number of at least 1; None stands for a size to infer from x."""
    at_least(1, **{name: size for name, size in sizes.items() if size is not None})
