"""Normalisation of single examples, over their last axes or over groups of their channels."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jseq import functional as F
from jseq._layers.affine import affine_of, affine_params, expect_channels
from jseq._layers.initial import inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer, no_params
from jseq.errors import OptionError
from jseq.functional.group_norm import check_groups


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
    Params: `weight (*normalized_shape,)` ones, `bias (*normalized_shape,)` zeros; `()` without
        `elementwise_affine`.

    Raises:
        ShapeError: the last axes of x are not `normalized_shape`.
        DtypeError: x is not floating.
        OptionError: no size, or one below 1.

    Follows `torch.nn.LayerNorm` (Ba et al. 2016, arXiv:1607.06450).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.layer_norm(2)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([[1.0, 3.0]])).round(2)
        Array([[-1.,  1.]], dtype=float32)
    """
    sizes = sizes_of(normalized_shape)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        shape = sizes or (inferred(None, "normalized_shape", x),)
        weight = {"weight": jnp.ones(shape)}
        return {**weight, "bias": jnp.zeros(shape)} if bias else weight

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return F.layer_norm(x, sizes or x.shape[-1:], *affine_of(params), eps)

    return init if elementwise_affine else no_params, apply


@layer
def rms_norm(
    normalized_shape: int | Sequence[int] | None,
    eps: float | None = None,
    elementwise_affine: bool = True,
):
    """Divides each example by its root mean square over the last axes: `y = x / sqrt(mean(x^2) + eps) * weight`.

    Args:
        normalized_shape: sizes of the last axes to normalise over; a number is the last axis alone; None
            infers that from x at `init`.
        eps: added to the mean square; None is the spacing of floats at 1 in the dtype computed in: 1.19e-7
            (float32, also for half-precision input), 2.2e-16 (float64).
        elementwise_affine: whether to learn the weight.

    Input: `(..., *normalized_shape)`, floating. The mean square is float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (*normalized_shape,)` ones; `()` without `elementwise_affine`.

    Raises:
        ShapeError: the last axes of x are not `normalized_shape`.
        DtypeError: x is not floating.
        OptionError: no size, or one below 1.

    Follows `torch.nn.RMSNorm` (Zhang and Sennrich 2019, arXiv:1910.07467).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.rms_norm(2)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([[3.0, 3.0]])).round(2)
        Array([[1., 1.]], dtype=float32)
    """
    sizes = sizes_of(normalized_shape)

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        return {"weight": jnp.ones(sizes or (inferred(None, "normalized_shape", x),))}

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return F.rms_norm(x, sizes or x.shape[-1:], affine_of(params)[0], eps)

    return init if elementwise_affine else no_params, apply


@layer
def group_norm(
    num_groups: int,
    num_channels: int | None,
    eps: float = 1e-5,
    affine: bool = True,
    *,
    spatial_dims: int = 2,
    bias: bool = True,
):
    """Normalises groups of channels of each example: `y = (x - mean) / sqrt(var + eps) * weight + bias`.

    Mean and (biased) variance are over a group of `num_channels / num_groups` neighbouring channels and over
    the spatial axes. Which axes are spatial is declared, not guessed from the rank: axes before them are the
    batch, so that any number of batch axes and `vmap` give the same numbers.

    Args:
        num_groups: number of groups: a divisor of the channels. 1 takes all of them, `num_channels` each
            by itself.
        num_channels: size of the last axis; None infers it from x at `init`.
        eps: added to the variance.
        affine: whether to learn weight and bias, one of each for a channel.
        spatial_dims: number of axes between the batch and the channels: 2 for images, 1 for sequences,
            3 for volumes, 0 for plain features.
        bias: whether the affine map has a bias.

    Input: `(..., *spatial, num_channels)`, floating. Statistics are float32 for half-precision input.
    Output: the same shape and dtype.
    Params: `weight (num_channels,)` ones, `bias (num_channels,)` zeros; `()` without `affine`.

    Raises:
        ShapeError: x has too few axes or other channels.
        DtypeError: x is not floating.
        OptionError: the groups do not divide the channels, a size below 1, `spatial_dims` below 0.

    Follows `torch.nn.GroupNorm`, with the channels last (Wu and He 2018, arXiv:1803.08494).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.group_norm(2, 4, spatial_dims=0)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.array([1.0, 3.0, 10.0, 30.0])).round(2)
        Array([-1.,  1., -1.,  1.], dtype=float32)
    """
    at_least(1, num_groups=num_groups)
    at_least(0, spatial_dims=spatial_dims)
    inferable(num_channels=num_channels)
    check_groups(num_groups, num_channels or num_groups)

    def init(key: jax.Array, x: Any) -> Any:
        channels = inferred(num_channels, "num_channels", x)
        check_groups(num_groups, channels)
        return affine_params(channels, affine, bias)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        expect_channels(x, num_channels)
        return F.group_norm(x, num_groups, spatial_dims, *affine_of(params), eps)

    return init if affine else no_params, apply


def sizes_of(normalized_shape: Any) -> tuple[int, ...]:
    """The sizes as a tuple, empty if they are inferred; refuses what is no size."""
    if normalized_shape is None:
        return ()
    sizes = tuple(normalized_shape) if isinstance(normalized_shape, Sequence) else (normalized_shape,)
    if not sizes:
        raise OptionError("normalized_shape must have at least one size, got (). Give the last axes of x.")
    for size in sizes:
        at_least(1, normalized_shape=size)
    return sizes
