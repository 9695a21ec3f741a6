"""The input of layers that take two arrays."""

from typing import Any

from jseq.errors import DtypeError, describe


def two_arrays(x: Any) -> tuple[Any, Any]:
    """Takes `(x1, x2)` apart; refuses what is no tuple of two."""
    if not isinstance(x, tuple) or len(x) != 2:
        raise DtypeError(f"expected x to be a tuple of two arrays, got {describe(x)}. "
                         "The call that works: apply(params, (x1, x2)).")  # fmt: skip
    return x[0], x[1]
