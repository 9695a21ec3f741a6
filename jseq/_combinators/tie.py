"""Shared weights: two places in a model, one leaf in params."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jseq._combinators import paths
from jseq._combinators.children import inner
from jseq.core import Layer, layer
from jseq.errors import OptionError, describe


@layer
def tie(layer: Layer | Any, source: str, target: str, transpose: bool = False):
    """Uses one parameter in two places: the one at `target` is the one at `source`, and is absent from params.

    Gradients of both uses add up in the one leaf. Wrap again to tie more: `tie(tie(model, a, b), a, c)`.

    Args:
        layer: the model that holds both places.
        source: path of the parameter that stays, such as "0.weight".
        target: path of the parameter that is taken from it, such as "2.weight".
        transpose: whether the target is the source with its last two axes exchanged, as the head of a language
            model `(d, vocabulary)` is of its embedding `(vocabulary, d)`.

    Input, Output, State, Context: those of the layer.
    Params: those of the layer without `target`.

    Raises:
        OptionError: a path that the layer does not have, both the same, or shapes that differ (at construction, or
            at `init` where sizes are inferred).
        ParamsError: params that hold `target`.

    Follows `head.weight = embedding.weight` of torch (Press and Wolf 2017, arXiv:1608.05859).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.sequential(jseq.embedding(100, 8), jseq.linear(8, 8), jseq.linear(8, 100, bias=False))
        >>> tied = jseq.tie(model, "0.weight", "2.weight", transpose=True)
        >>> params = tied.init(jax.random.key(0))
        >>> params[2], tied.apply(params, jnp.array([1, 2, 3])).shape
        ({}, (3, 100))
    """
    child = inner(layer)
    if source == target:
        raise OptionError(f"expected two places to tie, got {source!r} twice.")
    shapes = paths.declared(child.layer)
    if shapes is not None:
        check_shapes(shapes, source, target, transpose)

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state, _ = child.init(key, x)
        check_shapes(params, source, target, transpose)
        return paths.remove(params, target), state

    def apply(
        params: Any, state: Any, x: Any, key: Any, train: bool, context: Mapping[str, Any] | None
    ) -> tuple[Any, Any]:
        shared = paths.get(params, source)
        full = paths.insert(params, target, jnp.swapaxes(shared, -1, -2) if transpose else shared)
        return child.apply(full, state, x, key=key, train=train, context=context)

    return init, apply, child.layer


def check_shapes(params: Any, source: str, target: str, transpose: bool) -> None:
    """Refuses places that do not exist, and places of different shapes."""
    first, second = (paths.get(params, path, OptionError) for path in (source, target))
    paths.remove(params, target)
    if transpose and len(first.shape) < 2:
        raise OptionError(f"transpose needs two axes, got {describe(first)} at {source!r}.")
    shape = (*first.shape[:-2], first.shape[-1], first.shape[-2]) if transpose else first.shape
    if shape != second.shape:
        crossed = not transpose and first.shape[::-1] == second.shape
        raise OptionError(f"expected places of one shape, got {describe(first)} at {source!r} and {describe(second)} "
                          f"at {target!r}.{' Call it with transpose=True.' if crossed else ''}")  # fmt: skip
