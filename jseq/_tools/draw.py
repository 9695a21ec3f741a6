"""The picture of a model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jseq.core import Layer
from jseq.errors import CallError, describe

if TYPE_CHECKING:
    from jseq._tools.picture import Picture


def draw(
    model: Layer, x: Any, *, depth: int | None = None, figures: bool = False, context: Mapping[str, Any] | None = None
) -> "Picture":
    """Draws."""
    from jseq._tools import drawing

    if not isinstance(model, Layer):
        raise CallError(f"draw takes (model, x), got {describe(model)}.")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise CallError(f"expected depth to be a whole number of at least 0, or None for all, got {depth!r}.")
    return drawing.drawn(model, x, depth, figures, context)
