"""Convolutions over one, two and three spatial axes."""

import math
from typing import Any

import jax

from jseq import functional as F
from jseq._layers.initial import Initializer, draw, inferred
from jseq._layers.options import positive
from jseq.core import layer
from jseq.functional.convolution import PADDING_MODES
from jseq.functional.padding import check_mode
from jseq.functional.windows import Padding, check_groups, check_padding, per_axis

Size = int | tuple[int, ...]


def convolution(
    n: int,
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
    bias: bool,
    padding_mode: str,
    initializers: tuple[Initializer | None, Initializer | None],
) -> Any:
    """The pair of conv1d, conv2d and conv3d; `n` is the number of spatial axes."""
    positive(in_channels=in_channels, out_channels=out_channels, groups=groups)
    window = per_axis(kernel_size, n, "kernel_size")
    per_axis(dilation, n, "dilation")
    check_padding(padding, n, per_axis(stride, n, "stride"))
    check_mode(padding_mode, PADDING_MODES, "padding_mode")
    check_groups(groups if in_channels is None else in_channels, out_channels, groups)
    weight_init, bias_init = initializers

    def init(key: jax.Array, x: Any) -> dict[str, jax.Array]:
        channels = inferred(in_channels, "in_channels", x)
        check_groups(channels, out_channels, groups)
        shape = (*window, channels // groups, out_channels)
        fan_in = math.prod(shape[:-1])
        weight_key, bias_key = jax.random.split(key)
        params = {"weight": draw(weight_init, weight_key, shape, fan_in)}
        if bias:
            params["bias"] = draw(bias_init, bias_key, (out_channels,), fan_in)
        return params

    def apply(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
        function = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
        return function(x, params["weight"], params.get("bias"), stride, padding, dilation, groups, padding_mode)

    return init, apply


@layer
def conv2d(
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    bias: bool = True,
    padding_mode: str = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Correlates images with learned windows: `y[h, w, o] = bias[o] + sum x[h*s + i*d, w*s + j*d, c] weight[i, j, c, o]`.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        stride: step of the window.
        padding: pixels around the image: a number, one for each of H and W, a (before, after) pair for
            each, "valid" (none) or "same" (y is as large as x; stride 1).
        dilation: distance between the window's pixels.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            `fan_in = kernel height * kernel width * in_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., H, W, in_channels)`, floating.
    Output: `(..., H', W', out_channels)`, `H' = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or is smaller than the window.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, "same" with a stride, a size below 1.

    Follows `torch.nn.Conv2d`, with the channels last.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv2d(3, 16, 3, padding=1)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 32, 32, 3))).shape
        (8, 32, 32, 16)
    """
    return convolution(
        2, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        (weight_init, bias_init),
    )  # fmt: skip
