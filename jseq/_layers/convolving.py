"""What the convolution layers share: the checks of their options, their params, and the pair."""

import math
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import Initializer, draw, inferred
from jseq._layers.options import at_least, inferable
from jseq.functional.conv_transpose import check_output_padding
from jseq.functional.convolution import PADDING_MODES
from jseq.functional.padding import check_mode
from jseq.functional.windows import Padding, check_groups, check_padding, per_axis

Size = int | tuple[int, ...]
Params = dict[str, jax.Array]
Initializers = tuple[Initializer | None, Initializer | None]


def window_params(
    key: jax.Array, shape: tuple[int, ...], fan_in: int, bias: bool, initializers: Initializers
) -> Params:
    """Draws the weight `(*window, in / groups, out)` and the bias `(out,)` of a convolution."""
    weight_key, bias_key = jax.random.split(key)
    params = {"weight": draw(initializers[0], weight_key, shape, fan_in)}
    if bias:
        params["bias"] = draw(initializers[1], bias_key, shape[-1:], fan_in)
    return params


def convolution(
    n: int, in_channels: int | None, out_channels: int, kernel_size: Size, stride: Size, padding: Padding,
    dilation: Size, groups: int, bias: bool, padding_mode: str, initializers: Initializers,
) -> Any:  # fmt: skip
    """The pair of conv1d, conv2d and conv3d; `n` is the number of spatial axes."""
    inferable(in_channels=in_channels)
    at_least(1, out_channels=out_channels, groups=groups)
    window = per_axis(kernel_size, n, "kernel_size")
    per_axis(dilation, n, "dilation")
    check_padding(padding, n, per_axis(stride, n, "stride"))
    check_mode(padding_mode, PADDING_MODES, "padding_mode")
    check_groups(groups if in_channels is None else in_channels, out_channels, groups)

    def init(key: jax.Array, x: Any) -> Params:
        channels = inferred(in_channels, "in_channels", x)
        check_groups(channels, out_channels, groups)
        shape = (*window, channels // groups, out_channels)
        return window_params(key, shape, math.prod(shape[:-1]), bias, initializers)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
        return function(x, params["weight"], params.get("bias"), stride, padding, dilation, groups, padding_mode)

    return init, apply


def transposed(
    n: int, in_channels: int | None, out_channels: int, kernel_size: Size, stride: Size, padding: Size,
    output_padding: Size, groups: int, bias: bool, dilation: Size, padding_mode: str, initializers: Initializers,
) -> Any:  # fmt: skip
    """The pair of conv_transpose1d, 2d and 3d; `n` is the number of spatial axes."""
    inferable(in_channels=in_channels)
    at_least(1, out_channels=out_channels, groups=groups)
    window = per_axis(kernel_size, n, "kernel_size")
    strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
    per_axis(padding, n, "padding", 0)
    check_output_padding(per_axis(output_padding, n, "output_padding", 0), strides, dilations)
    check_mode(padding_mode, ("zeros",), "padding_mode")
    check_groups(groups if in_channels is None else in_channels, out_channels, groups)

    def init(key: jax.Array, x: Any) -> Params:
        channels = inferred(in_channels, "in_channels", x)
        check_groups(channels, out_channels, groups)
        # torch reads the fan-in off axis 1 of its weight, which is (in, out / groups, *window) here
        fan_in = math.prod(window) * out_channels // groups
        return window_params(key, (*window, channels // groups, out_channels), fan_in, bias, initializers)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        return function(x, params["weight"], params.get("bias"), stride, padding, output_padding, groups, dilation)

    return init, apply
