"""Transposed convolutions over one, two and three spatial axes: upsampling that is learned."""

from jseq._layers.convolving import Size, transposed
from jseq._layers.initial import Initializer
from jseq.core import layer


@layer
def conv_transpose1d(
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: Size = 1,
    padding_mode: str = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Adds a scaled window to y for every input: `y[t*s + i*d, o] += weight[i, c, o] x[t, c]`.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in steps; a number.
        stride: how far apart the inputs land in the output.
        padding: steps taken away from both ends of the output.
        output_padding: steps added to the high end of the output; smaller than stride or dilation.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        dilation: distance between the window's steps.
        padding_mode: "zeros"; torch has the argument, and no other value of it.
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            where `fan_in = kernel_size * out_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., T, in_channels)`, floating.
    Output: `(..., T', out_channels)`,
        `T' = (T - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or nothing is left of the output.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, an output padding too large, a size below 1.

    Follows `torch.nn.ConvTranspose1d` (and `LazyConvTranspose1d`: `in_channels=None`); the window is not flipped.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv_transpose1d(16, 3, 4, stride=2, padding=1)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 50, 16))).shape
        (8, 100, 3)
    """
    return transposed(
        1, in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
        padding_mode, (weight_init, bias_init),
    )  # fmt: skip


@layer
def conv_transpose2d(
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: Size = 1,
    padding_mode: str = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Adds a scaled window to y for every input: `y[h*s + i*d, w*s + j*d, o] += weight[i, j, c, o] x[h, w, c]`.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in pixels; a number, or one for each of H and W.
        stride: how far apart the inputs land in the output.
        padding: pixels taken away from both ends of the output.
        output_padding: pixels added to the high end of the output; smaller than stride or dilation.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        dilation: distance between the window's pixels.
        padding_mode: "zeros"; torch has the argument, and no other value of it.
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            where `fan_in = kernel height * kernel width * out_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., H, W, in_channels)`, floating.
    Output: `(..., H', W', out_channels)`,
        `H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or nothing is left of the output.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, an output padding too large, a size below 1.

    Follows `torch.nn.ConvTranspose2d` (and `LazyConvTranspose2d`: `in_channels=None`); the window is not flipped.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv_transpose2d(16, 3, 4, stride=2, padding=1)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((8, 16, 16, 16))).shape
        (8, 32, 32, 3)
    """
    return transposed(
        2, in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
        padding_mode, (weight_init, bias_init),
    )  # fmt: skip


@layer
def conv_transpose3d(
    in_channels: int | None,
    out_channels: int,
    kernel_size: Size,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    bias: bool = True,
    dilation: Size = 1,
    padding_mode: str = "zeros",
    *,
    weight_init: Initializer | None = None,
    bias_init: Initializer | None = None,
):
    """Adds a scaled window to y for every input: the equation of `conv_transpose2d`, with one more axis.

    Args:
        in_channels: size of the last axis of x; None infers it from x at `init`.
        out_channels: size of the last axis of y.
        kernel_size: size of the window, in voxels; a number, or one for each of D, H and W.
        stride: how far apart the inputs land in the output.
        padding: voxels taken away from both ends of the output.
        output_padding: voxels added to the high end of the output; smaller than stride or dilation.
        groups: channels are split into so many groups that do not see each other.
        bias: whether to add a bias.
        dilation: distance between the window's voxels.
        padding_mode: "zeros"; torch has the argument, and no other value of it.
        weight_init: `(key, shape, dtype) -> array`; None is torch's `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`,
            where `fan_in = kernel depth * height * width * out_channels / groups`.
        bias_init: the same for the bias.

    Input: `(..., D, H, W, in_channels)`, floating.
    Output: `(..., D', H', W', out_channels)`,
        `D' = (D - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1`.
    Params: `weight (*kernel_size, in_channels / groups, out_channels)`, `bias (out_channels,)`.

    Raises:
        ShapeError: x has too few axes or other channels, or nothing is left of the output.
        DtypeError: x is not floating.
        OptionError: groups that do not divide the channels, an output padding too large, a size below 1.

    Follows `torch.nn.ConvTranspose3d` (and `LazyConvTranspose3d`: `in_channels=None`); the window is not flipped.

    Example:
        >>> import jax, jax.numpy as jnp, jseq
        >>> layer = jseq.conv_transpose3d(4, 1, 2, stride=2)
        >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones((2, 4, 4, 4, 4))).shape
        (2, 8, 8, 8, 1)
    """
    return transposed(
        3, in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, bias, dilation,
        padding_mode, (weight_init, bias_init),
    )  # fmt: skip
