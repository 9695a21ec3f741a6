"""Checks of whole numbers that must be given: None does not stand for one to infer."""

from typing import Any

from jseq.errors import OptionError


def at_least(least: int, **counts: Any) -> None:
    """Refuses what is no whole number from `least` on, None included."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < least:
            raise OptionError(f"{name} must be a whole number of at least {least}, got {count!r}.")
