"""Means and maxima over windows as large as a given output size asks for."""

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.adaptive_pooling import output_sizes

OutputSize = int | None | tuple[int | None, ...]


@layer
def adaptive_avg_pool1d(output_size: OutputSize):
    """Averages a sequence down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in steps; None keeps that of x.

    Input: `(..., T, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveAvgPool1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_avg_pool1d(5).apply((), jnp.ones((8, 32, 3))).shape
        (8, 5, 3)
    """
    output_sizes(output_size, 1)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.adaptive_avg_pool1d(x, output_size)

    return no_params, apply


@layer
def adaptive_avg_pool2d(output_size: OutputSize):
    """Averages an image down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in pixels; a number, or one for each of H and W, None to keep that of x.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveAvgPool2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_avg_pool2d((5, None)).apply((), jnp.ones((8, 32, 24, 3))).shape
        (8, 5, 24, 3)
    """
    output_sizes(output_size, 2)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.adaptive_avg_pool2d(x, output_size)

    return no_params, apply


@layer
def adaptive_avg_pool3d(output_size: OutputSize):
    """Averages a volume down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in voxels; a number, or one for each of D, H and W, None to keep that of x.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveAvgPool3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_avg_pool3d(2).apply((), jnp.ones((8, 3, 4, 5, 6))).shape
        (8, 2, 2, 2, 6)
    """
    output_sizes(output_size, 3)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.adaptive_avg_pool3d(x, output_size)

    return no_params, apply


@layer
def adaptive_max_pool1d(output_size: OutputSize, return_indices: bool = False):
    """Takes maxima of a sequence down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in steps; None keeps that of x.
        return_indices: also returns where each maximum stands in the flattened sequence: `(y, indices)`.

    Input: `(..., T, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveMaxPool1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_max_pool1d(5).apply((), jnp.ones((8, 32, 3))).shape
        (8, 5, 3)
    """
    output_sizes(output_size, 1)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return F.adaptive_max_pool1d(x, output_size, return_indices)

    return no_params, apply


@layer
def adaptive_max_pool2d(output_size: OutputSize, return_indices: bool = False):
    """Takes maxima of an image down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in pixels; a number, or one for each of H and W, None to keep that of x.
        return_indices: also returns where each maximum stands in the flattened image: `(y, indices)`.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveMaxPool2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_max_pool2d((5, None)).apply((), jnp.ones((8, 32, 24, 3))).shape
        (8, 5, 24, 3)
    """
    output_sizes(output_size, 2)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return F.adaptive_max_pool2d(x, output_size, return_indices)

    return no_params, apply


@layer
def adaptive_max_pool3d(output_size: OutputSize, return_indices: bool = False):
    """Takes maxima of a volume down to a given size, for each channel.

    Window i reaches from `floor(i * in / out)` to `ceil((i + 1) * in / out)`: windows differ in width, and
    overlap, where the sizes do not divide.

    Args:
        output_size: size of y, in voxels; a number, or one for each of D, H and W, None to keep that of x.
        return_indices: also returns where each maximum stands in the flattened volume: `(y, indices)`.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes, or an axis of size 0.
        OptionError: a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.AdaptiveMaxPool3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.adaptive_max_pool3d(2).apply((), jnp.ones((8, 3, 4, 5, 6))).shape
        (8, 2, 2, 2, 6)
    """
    output_sizes(output_size, 3)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return F.adaptive_max_pool3d(x, output_size, return_indices)

    return no_params, apply
