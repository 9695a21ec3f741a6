"""Checks of constructor arguments that several families share."""

from typing import Any

from jseq.errors import OptionError


def positive(**sizes: Any) -> None:
    """Refuses sizes that are no whole number of at least 1; None stands for a size to infer."""
    for name, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
            raise OptionError(f"{name} must be a whole number of at least 1, got {size!r}.")
