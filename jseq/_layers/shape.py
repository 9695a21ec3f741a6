"""Layers that move axes and change shapes."""

import math

import jax
import jax.numpy as jnp

from jseq.core import layer, no_params
from jseq.errors import ShapeError, describe, expect_array


@layer
def flatten(start_dim: int = 1, end_dim: int = -1):
    """Flattens the axes from `start_dim` to `end_dim`, both included, into one.

    The default keeps axis 0, as torch's does. `flatten(-3)` flattens the last three axes, and so works
    with and without batch axes: use it for models that you `vmap`.

    Args:
        start_dim: first axis to flatten.
        end_dim: last axis to flatten.

    Input: `(..., a, b, c)`.
    Output: `(..., a * b * c)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has no such axes.

    Follows `torch.nn.Flatten`. Channels are last here, so a flattened image has another order than in
    torch; `docs/how-to/coming-from-torch.md` says what that means for weights.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.flatten().apply((), jnp.ones((8, 4, 4, 3))).shape
        (8, 48)
        >>> jseq.flatten(-3).apply((), jnp.ones((4, 4, 3))).shape
        (48,)
    """

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        expect_array(x)
        rank = max(x.ndim, 1)
        first, last = start_dim % rank, end_dim % rank
        if not (-rank <= start_dim < rank and -rank <= end_dim < rank and first <= last):
            hint = " Without a batch axis use flatten(-3)." if start_dim == 1 else ""
            raise ShapeError(f"expected x with axes {start_dim} to {end_dim}, got {describe(x)}.{hint}")
        shape = x.shape or (1,)
        return jnp.reshape(x, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))

    return no_params, apply
