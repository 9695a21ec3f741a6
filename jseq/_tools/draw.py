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
    """Draws the layers of a model, from its input at the top to its output at the bottom.

    From shapes alone: nothing is computed. The wires are found by tracing a forward pass, so that combinators of your
    own are drawn as they are: a sum is a sum wherever it is written. Branches stand side by side, skips go around, and
    equal layers in a row are drawn once, as a stack.

    Args:
        model: the model; params need not exist.
        x: an input, or its shape: `jax.ShapeDtypeStruct((32, 64), jnp.float32)`, or a tree of them.
        depth: how deep to look: 1 draws each child of the model as one box; None draws all layers.
        figures: whether the boxes say how many params and FLOPs the layers have, as `summary` counts them.
        context: side inputs of the model, or their shapes.

    Returns:
        A `Picture`: a notebook shows it, `.save("model.svg")` writes it, `.svg` is its text. `.boxes`, `.frames` and
        `.wires` are what it consists of, with their places.

    Raises:
        CallError: model is no layer, or depth no whole number.
        LayerError: what `init` and `apply` raise for this input.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.residual(jseq.linear(64, 64)), jseq.linear(64, 10), jax.nn.softmax)
        >>> picture = jseq.draw(model, jax.ShapeDtypeStruct((32, 64), jnp.float32))
        >>> [(box.path, box.title) for box in picture.boxes]
        [('', 'input'), ('0.layer', 'linear'), ('0', '+'), ('1', 'linear'), ('2', 'softmax'), ('', 'output')]
        >>> picture.svg[:4]
        '<svg'
    """
    from jseq._tools import drawing

    if not isinstance(model, Layer):
        raise CallError(f"draw takes (model, x), got {describe(model)}.")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise CallError(f"expected depth to be a whole number of at least 0, or None for all, got {depth!r}.")
    return drawing.drawn(model, x, depth, figures, context)
