"""Normalisation of single examples."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.initial import inferred
from jseq._layers.options import positive
from jseq.core import layer, no_params


@layer
def layer_norm(
    normalized_shape: int | Sequence[int] | None,
    eps: float = 1e-5,
    elementwise_affine: bool = True,
    bias: bool = True,
):
    """Normalises each example over its last axes: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    Args:
        normalized_shape: sizes of the last axes to normalise over; a number is the last axis alone; None
            infers that from x at `init`.
        eps: added to the variance.
        elementwise_affine: whether to learn weight and bias.
        bias: whether the affine map has a bias.

    Input: `(..., *normalized_shape)`, floating. Statistics are float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (*normalized_shape,)` ones, `bias (*normalized_shape,)` zeros.

    Raises:
        ShapeError: the last axes of x are not `normalized_shape`.
        DtypeError: x is not floating.

    Follows `torch.nn.LayerNorm` (Ba et al. 2016, arXiv:1607.06450).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.layer_norm(2)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([[1.0, 3.0]])).round(2)
        Array([[-1.,  1.]], dtype=float32)
    """
    sizes = () if normalized_shape is None else shape_of(normalized_shape)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        shape = sizes or (inferred(None, "normalized_shape", x),)
        weight = {"weight": jnp.ones(shape)}
        return {**weight, "bias": jnp.zeros(shape)} if bias else weight

    def apply(params: Any, x: jax.Array) -> jax.Array:
        if not elementwise_affine:
            return F.layer_norm(x, sizes or x.shape[-1:], eps=eps)
        return F.layer_norm(x, params["weight"].shape, params["weight"], params.get("bias"), eps)

    return init if elementwise_affine else no_params, apply


def shape_of(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; refuses what is no size."""
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    for size in sizes:
        positive(normalized_shape=size)
    return sizes
