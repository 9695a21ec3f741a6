"""Params that training leaves alone."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq._combinators.children import inner
from jseq.core import Layer, layer


@layer
def freeze(layer: Layer | Any):
    """Stops gradients at the params of a layer: `y = f(stop_gradient(params), x)`.

    Gradients with respect to x pass, so that what stands before a frozen layer can be trained; those of the
    params are zero. An optimiser that decays weights moves params whose gradients are zero all the same: leave
    frozen params out of it. State is no parameter: a frozen batch norm gathers statistics in training.

    Args:
        layer: the layer to freeze.

    Input, Output, Params, State, Context: those of the layer.

    Raises:
        CallError: the argument is no layer.

    Follows `tensor.requires_grad_(False)` of torch.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.freeze(jseq.linear(2, 2)), jseq.linear(2, 1))
        >>> params = model.init(jax.random.key(0))
        >>> gradient = jax.grad(lambda p: model.apply(p, jnp.ones(2)).sum())(params)
        >>> [bool((g["weight"] == 0).all()) for g in gradient]
        [True, False]
    """
    child = inner(layer)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        return child.init(key, x)[:2]

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        return child.apply(jax.lax.stop_gradient(params), state, x, key=key, train=train, context=context)

    return init, apply, child.layer
