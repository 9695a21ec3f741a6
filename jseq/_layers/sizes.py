"""Sizes that no input tells."""

from typing import Any

from jseq._layers.options import positive
from jseq.errors import OptionError


def declared(**sizes: Any) -> None:
    """Refuses sizes that are no whole number of at least 1; they cannot be inferred, so None is refused too."""
    for name, size in sizes.items():
        if size is None:
            raise OptionError(f"{name} must be a whole number of at least 1, got None: it cannot be inferred from x.")
    positive(**sizes)
