"""Fitting a layer in where the axes stand in another order."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq._combinators.children import inner
from jseq._combinators.plain import plain_function
from jseq.core import Layer, layer


@layer
def adapt(layer: Layer | Any, before: Layer | Any | None = None, after: Layer | Any | None = None):
    """Applies a layer between two functions: `y = after(layer(before(x)))`.

    The params and their paths are those of the layer, so that an adapted model still loads what it saved. So a
    recurrence over axis 0, as torch has it without batch_first, is `adapt(lstm(4, 5), swap, swap)` with
    `swap = permute((-2, -3, -1))`.

    Args:
        layer: the layer to adapt.
        before: a function of one value, or a layer without params, state and randomness, such as `permute`; None
            passes x on. A public function of jax, or a layer, can be written to JSON.
        after: the same, for what the layer gives.

    Input: what `before` takes.
    Output: what `after` gives.
    Params, State, Context: those of the layer.

    Raises:
        OptionError: `before` or `after` has params, keeps state, draws random numbers or reads context.
        CallError: an argument is no layer.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> swap = jseq.permute((-2, -3, -1))
        >>> model = jseq.adapt(jseq.gru(3, 4), swap, swap)
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((5, 2, 3))).shape  # (T, N, C)
        (5, 2, 4)
    """
    child = inner(layer)
    first = (lambda x: x) if before is None else plain_function(before, "before")
    last = (lambda x: x) if after is None else plain_function(after, "after")

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        return child.init(key, None if x is None else jax.eval_shape(first, x))[:2]

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        y, state = child.apply(params, state, first(x), key=key, train=train, context=context)
        return last(y), state

    return init, apply, child.layer
