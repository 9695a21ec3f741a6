"""Layers that move numbers between channels and space: shuffles, windows as rows."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.vision import factor
from jseq.functional.windows import per_axis

Size = int | tuple[int, ...]


@layer
def pixel_shuffle(upscale_factor: int):
    """Moves channels into space: `y[h * r + i, w * r + j, c] = x[h, w, c * r * r + i * r + j]`.

    Args:
        upscale_factor: r, how many times larger the image becomes on each axis.

    Input: `(..., H, W, C * r * r)`.
    Output: `(..., H * r, W * r, C)`.
    Params: none, `()`.

    Raises:
        OptionError: r is no whole number of at least 1.
        ShapeError: x has too few axes, or r * r does not divide its channels.

    Follows `torch.nn.PixelShuffle`, with the channels last (Shi et al. 2016, arXiv:1609.05158).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.pixel_shuffle(3).apply((), jnp.ones((8, 4, 5, 18))).shape
        (8, 12, 15, 2)
    """
    factor(upscale_factor, "upscale_factor")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.pixel_shuffle(x, upscale_factor)

    return no_params, apply


@layer
def pixel_unshuffle(downscale_factor: int):
    """Moves space into channels: `y[h, w, c * r * r + i * r + j] = x[h * r + i, w * r + j, c]`.

    Args:
        downscale_factor: r, how many times smaller the image becomes on each axis.

    Input: `(..., H * r, W * r, C)`.
    Output: `(..., H, W, C * r * r)`.
    Params: none, `()`.

    Raises:
        OptionError: r is no whole number of at least 1.
        ShapeError: x has too few axes, or r does not divide H and W.

    Follows `torch.nn.PixelUnshuffle`, with the channels last; the inverse of `pixel_shuffle`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.pixel_unshuffle(3).apply((), jnp.ones((8, 12, 15, 2))).shape
        (8, 4, 5, 18)
    """
    factor(downscale_factor, "downscale_factor")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.pixel_unshuffle(x, downscale_factor)

    return no_params, apply


@layer
def channel_shuffle(groups: int):
    """Interleaves groups of channels: `y[..., k * groups + g] = x[..., g * (C / groups) + k]`.

    Args:
        groups: how many groups the channels form.

    Input: `(..., C)`; no axis is spatial, so it fits sequences, images and volumes.
    Output: the same shape and dtype.
    Params: none, `()`.

    Raises:
        OptionError: `groups` is no whole number of at least 1.
        ShapeError: `groups` does not divide the channels.

    Follows `torch.nn.ChannelShuffle`, with the channels last (Zhang et al. 2017, arXiv:1707.01083).

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.channel_shuffle(2).apply((), jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
        Array([0., 3., 1., 4., 2., 5.], dtype=float32)
    """
    factor(groups, "groups")

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.channel_shuffle(x, groups)

    return no_params, apply


@layer
def unfold(kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1):
    """Lists the windows of an image as rows: `y[l, c * kh * kw + i * kw + j] = x[h(l) + i, w(l) + j, c]`.

    Args:
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        dilation: distance between the window's pixels.
        padding: pixels of zero around the image.
        stride: step of the window.

    Input: `(..., H, W, C)`.
    Output: `(..., L, C * kh * kw)`, L windows, row by row: `L = H' * W'`,
        `H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: none, `()`.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: a size below 1, a negative padding.

    Follows `torch.nn.Unfold`, whose output is this one with the last two axes swapped.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.unfold((2, 3)).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 9, 18)
    """
    check_windows(kernel_size, dilation, padding, stride)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.unfold(x, kernel_size, dilation, padding, stride)

    return no_params, apply


@layer
def fold(output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1):
    """Adds windows up to an image, where they overlap: the transpose of `unfold`.

    Args:
        output_size: size of the image in pixels, without padding; a number, or one for each of H and W.
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        dilation: distance between the window's pixels.
        padding: pixels around the image that are left out.
        stride: step of the window.

    Input: `(..., L, C * kh * kw)`, floating; L as many windows as `unfold` lists of such an image.
    Output: `(..., H, W, C)`, `(H, W) = output_size`.
    Params: none, `()`.

    Raises:
        ShapeError: L is not the number of windows, or `kh * kw` does not divide the last axis.
        OptionError: a size below 1, a negative padding.
        DtypeError: x is not floating.

    Follows `torch.nn.Fold`, whose input is this one with the last two axes swapped.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.fold((4, 5), (2, 3)).apply((), jnp.ones((8, 9, 18))).shape
        (8, 4, 5, 3)
    """
    per_axis(output_size, 2, "output_size")
    check_windows(kernel_size, dilation, padding, stride)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.fold(x, output_size, kernel_size, dilation, padding, stride)

    return no_params, apply


def check_windows(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> None:
    """Refuses the options of fold and unfold that cannot be."""
    per_axis(kernel_size, 2, "kernel_size")
    per_axis(dilation, 2, "dilation")
    per_axis(padding, 2, "padding", minimum=0)
    per_axis(stride, 2, "stride")
