"""Convolutions over one, two and three spatial axes."""

from jseq._layers.convolving import Size, convolution
from jseq._layers.initial import Initializer
from jseq.core import layer
from jseq.functional.windows import Padding


@layer
def conv1d(
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
    """Slides learned windows over sequences: `y[t, o] = bias[o] + sum x[t*s + i*d, c] weight[i, c, o]`.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in steps; a number.
        stride: step of the window.
        padding: steps around the sequence: a number, a (before, after) pair in a tuple, `((2, 0),)`,
            "valid" (none) or "same" (y is as long as x; stride 1).
        dilation: distance between the window's steps.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            `fan_in = kernel_size * in_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., T, in_channels)`, floating.
    Output: `(..., T', out_channels)`, `T' = (T + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or is smaller than the window.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, "same" with a stride, a size below 1.

    Follows `torch.nn.Conv1d` (and `LazyConv1d`: `in_channels=None`), with the channels last.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv1d(3, 16, 5, stride=2, padding=2)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 100, 3))).shape
        (8, 50, 16)
    """
    return convolution(
        1, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        (weight_init, bias_init),
    )  # fmt: skip


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
    """Slides learned windows over images: `y[h, w, o] = bias[o] + sum x[h*s + i*d, w*s + j*d, c] weight[i, j, c, o]`.

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

    Follows `torch.nn.Conv2d` (and `LazyConv2d`: `in_channels=None`), with the channels last.

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


@layer
def conv3d(
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
    """Slides learned windows over volumes: the equation of `conv2d`, with one more axis.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        stride: step of the window.
        padding: voxels around the volume: a number, one for each of D, H and W, a (before, after) pair for
            each, "valid" (none) or "same" (y is as large as x; stride 1).
        dilation: distance between the window's voxels.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            `fan_in = kernel depth * height * width * in_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., D, H, W, in_channels)`, floating.
    Output: `(..., D', H', W', out_channels)`, `D' = (D + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or is smaller than the window.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, "same" with a stride, a size below 1.

    Follows `torch.nn.Conv3d` (and `LazyConv3d`: `in_channels=None`), with the channels last.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv3d(1, 4, 3, padding="same")
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((2, 8, 8, 8, 1))).shape
        (2, 8, 8, 8, 4)
    """
    return convolution(
        3, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode,
        (weight_init, bias_init),
    )  # fmt: skip
