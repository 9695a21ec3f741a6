"""Maxima over windows at pseudo-random steps: the layers that draw in evaluation too."""

from collections.abc import Mapping
from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.errors import expect_key
from jseq.functional.fractional_pooling import fractional_options

Size = int | tuple[int, ...]


def fractional_pooling(
    n: int,
    kernel_size: Size,
    output_size: Size | None,
    output_ratio: float | tuple[float, ...] | None,
    return_indices: bool,
) -> Any:
    """The pair of fractional_max_pool2d and 3d; `n` is the number of spatial axes."""
    fractional_options(n, kernel_size, output_size, output_ratio)
    function = F.fractional_max_pool2d if n == 2 else F.fractional_max_pool3d

    def apply(
        params: tuple[()], x: jax.Array, key: jax.Array | None, context: Mapping[str, jax.Array]
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        samples = context.get("samples")
        if samples is None:
            expect_key(key, "apply(params, x, key=key), in evaluation too, as in torch")
        return function(x, kernel_size, output_size, output_ratio, return_indices, key=key, samples=samples)

    return no_params, apply


@layer(context=("samples",))
def fractional_max_pool2d(
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
):
    """Takes the maximum over windows at pseudo-random steps of an image, for each channel.

    Window i starts at `int((i + u) a) - int(u a)`, `a = (in - kernel_size) / (out - 1)`, with one u in [0, 1)
    for each example, channel and axis. As in torch it is drawn in evaluation too: `apply` needs a key there.

    Args:
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        output_size: size of y, in pixels; a number, or one for each of H and W.
        output_ratio: instead of it, the size of y as a part of that of x, between 0 and 1.
        return_indices: also returns where each maximum stands in the flattened image: `(y, indices)`.

    Input: `(..., H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.
    Context: `samples (..., C, 2)`, the numbers u, in torch's order (W, H); then no key is needed.

    Raises:
        CallError: neither a key nor samples.
        ShapeError: x has too few axes, or fewer than `output_size + kernel_size - 1` pixels on one.
        OptionError: both or neither of size and ratio, a ratio not between 0 and 1, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.FractionalMaxPool2d` (Graham 2014, arXiv:1412.6071).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.fractional_max_pool2d(2, output_size=(13, 12))
        >>> layer.apply((), jnp.ones((8, 32, 32, 3)), key=jax.random.key(0)).shape
        (8, 13, 12, 3)
    """
    return fractional_pooling(2, kernel_size, output_size, output_ratio, return_indices)


@layer(context=("samples",))
def fractional_max_pool3d(
    kernel_size: Size,
    output_size: Size | None = None,
    output_ratio: float | tuple[float, ...] | None = None,
    return_indices: bool = False,
):
    """Takes the maximum over windows at pseudo-random steps of a volume, for each channel.

    Window i starts at `int((i + u) a) - int(u a)`, `a = (in - kernel_size) / (out - 1)`, with one u in [0, 1)
    for each example, channel and axis. As in torch it is drawn in evaluation too: `apply` needs a key there.

    Args:
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        output_size: size of y, in voxels; a number, or one for each of D, H and W.
        output_ratio: instead of it, the size of y as a part of that of x, between 0 and 1.
        return_indices: also returns where each maximum stands in the flattened volume: `(y, indices)`.

    Input: `(..., D, H, W, C)`, floating.
    Output: `(..., *output_size, C)`.
    Params: none, `()`.
    Context: `samples (..., C, 3)`, the numbers u, in torch's order (D, H, W); then no key is needed.

    Raises:
        CallError: neither a key nor samples.
        ShapeError: x has too few axes, or fewer than `output_size + kernel_size - 1` voxels on one.
        OptionError: both or neither of size and ratio, a ratio not between 0 and 1, a size below 1.
        DtypeError: x is not floating.

    Follows `torch.nn.FractionalMaxPool3d` (Graham 2014, arXiv:1412.6071).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.fractional_max_pool3d(2, output_size=5)
        >>> layer.apply((), jnp.ones((2, 9, 9, 9, 3)), key=jax.random.key(0)).shape
        (2, 5, 5, 5, 3)
    """
    return fractional_pooling(3, kernel_size, output_size, output_ratio, return_indices)
