"""The table of a model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jseq.core import Layer
from jseq.errors import CallError, describe

if TYPE_CHECKING:
    from jseq._tools.report import Summary


def summary(
    model: Layer, x: Any, *, train: bool = False, depth: int | None = None, context: Mapping[str, Any] | None = None
) -> "Summary":
    """Lists the layers of a model: what they give and hold, what they cost forward and in a training step.

    From shapes alone: nothing is computed and nothing allocated, whatever the size of the model. FLOPs are counted as
    XLA counts them: two for a product and its sum, one for each element of another result, none for exp, tanh and
    other transcendental functions; a loop counts as often as it runs. A row's figures include those of the layers
    inside it, so that the first row is the whole model.

    Args:
        model: the model; params need not exist.
        x: an input, or its shape: `jax.ShapeDtypeStruct((32, 64), jnp.float32)`, or a tree of them.
        train: whether the forward pass is that of training, with dropout and batch statistics. The training step
            always is.
        depth: how deep to look: 1 for the model and its children; None for all.
        context: side inputs of the model, or their shapes.

    Returns:
        A `Summary`: `.rows` and `.to_dict()` are the figures, `print` shows a table of them, in which equal
        neighbours share a row.

    Raises:
        CallError: model is no layer, or depth no whole number.
        LayerError: what `init` and `apply` raise for this input.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.linear(64, 128), jseq.relu(), jseq.linear(128, 10))
        >>> found = jseq.summary(model, jax.ShapeDtypeStruct((32, 64), jnp.float32))
        >>> found.total.params, found.rows[1].output, f"{found.rows[1].flops:,.0f}"
        (9610, 'float32[32,128]', '528,384')
    """
    from jseq._tools import summarising

    if not isinstance(model, Layer):
        raise CallError(f"summary takes (model, x), got {describe(model)}.")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 0):
        raise CallError(f"expected depth to be a whole number of at least 0, or None for all, got {depth!r}.")
    return summarising.summarised(model, x, train, depth, context)
