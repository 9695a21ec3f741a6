"""Convolutions over one, two and three spatial axes of channels-last arrays."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import expect_float
from jseq.functional.convolve import convolve
from jseq.functional.padding import check_mode, pad_spatial
from jseq.functional.windows import (
    Padding,
    check_groups,
    check_window,
    expect_spatial,
    expect_window,
    per_axis,
    resolve_padding,
)

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def conv(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Correlates x with the window of `weight`, whose rank says how many axes are spatial.

    conv1d, conv2d and conv3d are this function with the rank of the weight checked.

    >>> conv(jnp.ones((9, 1)), jnp.ones((3, 1, 1)), stride=2)[:, 0]
    Array([3., 3., 3., 3.], dtype=float32)
    """
    n = weight.ndim - 2
    expect_float(x)
    expect_spatial(x, n, weight.shape[-2] * groups)
    check_groups(x.shape[-1], weight.shape[-1], groups)
    check_mode(padding_mode, PADDING_MODES, "padding_mode")
    strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
    pairs = resolve_padding(padding, weight.shape[:n], strides, dilations)
    if padding_mode != "zeros":
        x, pairs = pad_spatial(x, pairs, padding_mode), ((0, 0),) * n
    check_window(x, weight.shape[:n], dilations, pairs)
    y = convolve(flatten_batch(x, n), weight.astype(x.dtype), (strides, pairs, dilations), groups)
    return add_bias(y, bias).reshape(*x.shape[: -1 - n], *y.shape[1:])


def flatten_batch(x: jax.Array, n: int) -> jax.Array:
    """Merges whatever stands before the `n` spatial axes and the channels into one axis."""
    return x.reshape(math.prod(x.shape[: -1 - n]), *x.shape[-1 - n :])


def add_bias(y: jax.Array, bias: jax.Array | None) -> jax.Array:
    """Adds a bias to the last axis, in the dtype of y."""
    return y if bias is None else lax.add(y, lax.expand_dims(jnp.asarray(bias, y.dtype), range(y.ndim - 1)))


def conv1d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Convolves along one axis: `y[t, o] = bias[o] + sum_kc weight[k, c, o] x[stride t + dilation k, c]`.

    The options are those of `conv2d`, for one axis.

    Input: (..., T, in_channels).
    Output: (..., (T + low + high - dilation (k - 1) - 1) // stride + 1, out_channels).

    Raises:
        ShapeError: the channels do not fit the weight, or x is smaller than the window.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv1d; weight[k, c, o] is torch's weight[o, c, k].

    >>> conv1d(jnp.ones((2, 9, 3)), jnp.ones((3, 3, 8)), padding="same").shape
    (2, 9, 8)
    """
    expect_window(weight, 1)
    return conv(x, weight, bias, stride, padding, dilation, groups, padding_mode)


def conv2d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Convolves over two axes: `y[h, w, o] = bias[o] + sum_ijc weight[i, j, c, o] x[h + i, w + j, c]`.

    Args:
        x: the input; its dtype is the dtype of the computation.
        weight: of shape (kh, kw, in_channels / groups, out_channels).
        bias: of shape (out_channels,), or None.
        stride: the step of the window, in pixels; one number or (height, width).
        padding: "valid" (none), "same" (output as large as the input, stride 1 only; the odd one out goes
            to the high end), one number for all sides, (height, width), or ((top, bottom), (left, right)).
        dilation: the distance between the taps of the window; one number or (height, width).
        groups: channels fall into so many groups, each convolved on its own; it divides both numbers.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".

    Input: (..., H, W, in_channels), any number of leading axes, none included.
    Output: (..., H', W', out_channels), H' = (H + top + bottom - dilation (kh - 1) - 1) // stride + 1.

    Raises:
        ShapeError: the channels do not fit the weight, or x is smaller than the window.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv2d and torch.nn.Conv2d; weight[i, j, c, o] is torch's weight[o, c, i, j].

    >>> conv2d(jnp.ones((2, 32, 32, 3)), jnp.ones((3, 3, 3, 8)), stride=2, padding=1).shape
    (2, 16, 16, 8)
    """
    expect_window(weight, 2)
    return conv(x, weight, bias, stride, padding, dilation, groups, padding_mode)


def conv3d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
) -> jax.Array:
    """Convolves over three axes: depth, height and width.

    The equation and the options are those of `conv2d`, for three axes.

    Input: (..., D, H, W, in_channels). Output: (..., D', H', W', out_channels).

    Raises:
        ShapeError: the channels do not fit the weight, or x is smaller than the window.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv3d; weight[i, j, k, c, o] is torch's weight[o, c, i, j, k].

    >>> conv3d(jnp.ones((4, 8, 8, 2)), jnp.ones((3, 3, 3, 1, 6)), groups=2).shape
    (2, 6, 6, 6)
    """
    expect_window(weight, 3)
    return conv(x, weight, bias, stride, padding, dilation, groups, padding_mode)
