"""Layout: models for channels-last arrays, on data that has the channels first."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jseq._combinators.children import inner
from jseq._layers.options import at_least
from jseq.core import Layer, layer
from jseq.errors import OptionError, ShapeError, describe, expect_array, near_misses

Context = Mapping[str, Any] | None
OUTPUTS = ("image", "features")
FORMS = {1: "(..., C, T)", 2: "(..., C, H, W)", 3: "(..., C, D, H, W)"}


@layer
def channels_first(layer: Layer | Any, spatial_dims: int = 2, *, output: str = "image"):
    """Adapts a model at its borders to data with the channels first: torch's `(N, C, H, W)`.

    `(..., C, H, W)` is moved to `(..., H, W, C)`, the layer applied, and its output moved back. Inside, all is
    channels-last: two transpositions for the whole model, none between its layers. The number of spatial axes is
    said and never guessed from the rank, and so is what comes out.

    Args:
        layer: the layer to adapt, usually the whole model.
        spatial_dims: number of spatial axes after the channels: 1 for `(..., C, T)`, 2 for `(..., C, H, W)`.
        output: "image" moves the channels of the output in front of as many spatial axes; "features" leaves the
            output as it is, for a model that ends in `(..., features)`, such as a classifier.

    Input: `(..., C, *spatial)`; in a tuple or dict of arrays, each of them.
    Output: `(..., C, *spatial)`, or what the layer gives.
    Params, State, Context: those of the layer.

    Raises:
        ShapeError: x, or the output of "image", has too few axes.
        OptionError: spatial_dims below 1, or another output.

    What `torch.nn.Conv2d` and its like take; their weights stay jseq's (see the layers).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> model = jseq.channels_first(jseq.conv2d(3, 16, 3, padding=1))
        >>> model.apply(model.init(jax.random.key(0)), jnp.ones((8, 3, 32, 32))).shape
        (8, 16, 32, 32)
    """
    at_least(1, spatial_dims=spatial_dims)
    if output not in OUTPUTS:
        raise OptionError(f'expected output to be "image" or "features", got {output!r}.'
                          f"{near_misses(str(output), OUTPUTS)}")  # fmt: skip
    child = inner(layer)
    form = FORMS.get(spatial_dims, f"(..., C, {spatial_dims} spatial axes)")

    def to_last(a: Any) -> jax.Array:
        expect_array(a, f"an array of shape {form}")
        if a.ndim < spatial_dims + 1:
            raise ShapeError(f"expected x of shape {form}, got {describe(a)}.")
        return jnp.moveaxis(a, -1 - spatial_dims, -1)

    def to_first(a: Any) -> jax.Array:
        if a.ndim < spatial_dims + 1:
            raise ShapeError(
                f"expected the layer to give {spatial_dims} spatial axes and channels, got {describe(a)}. "
                'For a model that ends in features: channels_first(layer, output="features").'
            )
        return jnp.moveaxis(a, -1, -1 - spatial_dims)

    def init(key: jax.Array, x: Any) -> tuple[Any, Any]:
        last = None if x is None else jax.eval_shape(lambda x: jax.tree.map(to_last, x), x)
        return child.init(key, last)[:2]

    def apply(params: Any, state: Any, x: Any, key: Any, train: bool, context: Context) -> tuple[Any, Any]:
        last = jax.tree.map(to_last, x)
        y, state = child.apply(params, state, last, key=key, train=train, context=context)
        return (jax.tree.map(to_first, y) if output == "image" else y), state

    return init, apply, child.layer
