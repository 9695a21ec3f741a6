"""Depthwise-separable convolution: every channel on its own, then a mixture of channels."""

import math
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.convolving import Size, window_params
from jseq._layers.initial import Initializer, inferred
from jseq._layers.options import at_least, inferable
from jseq.core import layer
from jseq.functional.windows import Padding, check_padding, per_axis

Params = dict[str, dict[str, jax.Array]]


@layer
def separable_conv2d(
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    depth_multiplier: int = 1,
    bias: bool = True,
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Convolves every channel with windows of its own, then mixes the channels: `y = pointwise(depthwise(x))`.

    The depthwise convolution makes `depth_multiplier` channels of each channel, the pointwise one has a
    1x1 window. Together they cost about 1 / out_channels + 1 / kernel area of `conv2d`.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the depthwise window, in pixels; a number, or one for each of H and W.
        stride: step of the depthwise window.
        padding: pixels around the image, as in `conv2d`.
        dilation: distance between the window's pixels.
        depth_multiplier: channels that the depthwise convolution makes of each.
        bias: whether both convolutions add a bias.
        weight_init: `(key, shape, dtype) -> array`, for both weights; None is torch's
            `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`, with the fan-in of each.
        bias_init: the same for both biases.

    Input: `(..., H, W, in_channels)`, floating.
    Output: `(..., H', W', out_channels)`, H' and W' as those of `conv2d`.
    Params: `depthwise.weight (*kernel_size, 1, in_channels * depth_multiplier)`, `depthwise.bias`,
        `pointwise.weight (1, 1, in_channels * depth_multiplier, out_channels)`, `pointwise.bias`.

    Raises:
        ShapeError: x has too few axes or other channels, or is smaller than the window.
        DtypeError: x is not floating.
        OptionError: "same" with a stride, a size below 1.

    torch writes it as `Conv2d(c, c * m, k, groups=c)` and `Conv2d(c * m, out, 1)` (Chollet 2017, arXiv:1610.02357).

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.separable_conv2d(3, 16, 3, padding=1)
        >>> params = layer.init(jax.random.key(0))
        >>> params["depthwise"]["weight"].shape, params["pointwise"]["weight"].shape
        ((3, 3, 1, 3), (1, 1, 3, 16))
        >>> layer.apply(params, jnp.ones((8, 32, 32, 3))).shape
        (8, 32, 32, 16)
    """
    inferable(in_channels=in_channels)
    at_least(1, out_channels=out_channels, depth_multiplier=depth_multiplier)
    window = per_axis(kernel_size, 2, "kernel_size")
    per_axis(dilation, 2, "dilation")
    check_padding(padding, 2, per_axis(stride, 2, "stride"))
    initializers = (weight_init, bias_init)

    def init(key: jax.Array, x: Any) -> Params:
        middle = inferred(in_channels, "in_channels", x) * depth_multiplier
        first, second = jax.random.split(key)
        return {
            "depthwise": window_params(first, (*window, 1, middle), math.prod(window), bias, initializers),
            "pointwise": window_params(second, (1, 1, middle, out_channels), middle, bias, initializers),
        }

    def apply(params: Params, x: jax.Array) -> jax.Array:
        depthwise, pointwise = params["depthwise"], params["pointwise"]
        groups = depthwise["weight"].shape[-1] // depth_multiplier
        y = F.conv2d(x, depthwise["weight"], depthwise.get("bias"), stride, padding, dilation, groups)
        return F.conv2d(y, pointwise["weight"], pointwise.get("bias"))

    return init, apply
