"""Transposed convolutions: the gradient of a convolution with respect to its input, as a layer."""

from collections.abc import Sequence

import jax

from jseq.errors import OptionError, ShapeError, describe, expect_float
from jseq.functional.conv_lax import Options, spans_of
from jseq.functional.convolution import add_bias, flatten_batch
from jseq.functional.transposed import convolve_transposed, transposed_sizes
from jseq.functional.windows import check_groups, expect_spatial, expect_window, per_axis


def check_output_padding(output_padding: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> None:
    """Refuses output padding that torch refuses: it is smaller than the stride or the dilation.

    >>> check_output_padding((2,), (2,), (1,))
    Traceback (most recent call last):
        ...
    jseq.errors.OptionError: output_padding must be smaller than stride or dilation, \
got (2,) with stride (2,) and dilation (1,).
    """
    if any(o >= max(s, d) for o, s, d in zip(output_padding, stride, dilation, strict=True)):
        raise OptionError(
            f"output_padding must be smaller than stride or dilation, got {tuple(output_padding)} "
            f"with stride {tuple(stride)} and dilation {tuple(dilation)}."
        )


def conv_transpose(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> jax.Array:
    """Adds a scaled window to the output for every input; the rank of the weight says how many axes.

    conv_transpose1d, 2d and 3d are this function with the rank of the weight checked.

    >>> import jax.numpy as jnp
    >>> conv_transpose(jnp.ones((3, 1)), jnp.ones((2, 1, 1)), stride=2)[:, 0]
    Array([1., 1., 1., 1., 1., 1.], dtype=float32)
    """
    n = weight.ndim - 2
    expect_float(x)
    expect_spatial(x, n, weight.shape[-2] * groups)
    check_groups(x.shape[-1], weight.shape[-1], groups)
    strides, dilations = per_axis(stride, n, "stride"), per_axis(dilation, n, "dilation")
    pads, extras = per_axis(padding, n, "padding", 0), per_axis(output_padding, n, "output_padding", 0)
    check_output_padding(extras, strides, dilations)
    each = zip(spans_of(weight.shape, dilations), pads, extras, strict=True)
    options = (strides, tuple((span - p, span - p + extra) for span, p, extra in each), dilations)
    _check_output(x, weight, options)
    y = convolve_transposed(flatten_batch(x, n), weight.astype(x.dtype), options, groups)
    return add_bias(y, bias).reshape(*x.shape[: -1 - n], *y.shape[1:])


def _check_output(x: jax.Array, weight: jax.Array, options: Options) -> None:
    sizes = x.shape[1 - weight.ndim : -1]
    outs = tuple(transposed_sizes(sizes, weight.shape, options))
    if any(size < 1 for size in (*sizes, *outs)):
        raise ShapeError(f"expected x large enough for the padding, got {describe(x)}: the output is {outs}.")


def conv_transpose1d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> jax.Array:
    """Transposed convolution along one axis: `y[stride t + dilation k, o] += weight[k, c, o] x[t, c]`.

    The options and the order of the weight are those of `conv_transpose2d`, for one axis.

    Input: (..., T, in_channels).
    Output: (..., (T - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1, out_channels).

    Raises:
        ShapeError: the channels do not fit the weight, or nothing is left of the output.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv_transpose1d.

    >>> import jax.numpy as jnp
    >>> conv_transpose1d(jnp.ones((2, 9, 3)), jnp.ones((4, 3, 8)), stride=2, padding=1).shape
    (2, 18, 8)
    """
    expect_window(weight, 1)
    return conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> jax.Array:
    """Transposed convolution over two axes: `y[s h + i, s w + j, o] += weight[i, j, c, o] x[h, w, c]`.

    Here s is the stride. This is the gradient of `conv2d` with respect to its input, so `padding` takes
    away from the output.

    Args:
        x: the input; its dtype is the dtype of the computation.
        weight: of shape (kh, kw, in_channels / groups, out_channels). torch's is (in_channels,
            out_channels / groups, kh, kw), with the groups in the first axis; here they are in the last:
            weight[i, j, c, g * out / groups + o] = torch's weight[g * in / groups + c, o, i, j].
            Without groups that is torch_weight.transpose(2, 3, 0, 1), nothing flipped.
        bias: of shape (out_channels,), or None.
        stride: how far apart the inputs land in the output; one number or (height, width).
        padding: taken from both ends of the output; one number or (height, width).
        output_padding: added to the high end of the output; smaller than stride or dilation.
        groups: channels fall into so many groups; it divides both numbers.
        dilation: the distance between the taps of the window; one number or (height, width).

    Input: (..., H, W, in_channels), any number of leading axes, none included.
    Output: (..., H', W', out_channels),
        H' = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.

    Raises:
        ShapeError: the channels do not fit the weight, or nothing is left of the output.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv_transpose2d and torch.nn.ConvTranspose2d.

    >>> import jax.numpy as jnp
    >>> conv_transpose2d(jnp.ones((2, 8, 8, 3)), jnp.ones((4, 4, 3, 6)), stride=2, padding=1).shape
    (2, 16, 16, 6)
    """
    expect_window(weight, 2)
    return conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    x: jax.Array,
    weight: jax.Array,
    bias: jax.Array | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    groups: int = 1,
    dilation: int | Sequence[int] = 1,
) -> jax.Array:
    """Transposed convolution over three axes: depth, height and width.

    The options and the order of the weight are those of `conv_transpose2d`, for three axes.

    Input: (..., D, H, W, in_channels). Output: (..., D', H', W', out_channels).

    Raises:
        ShapeError: the channels do not fit the weight, or nothing is left of the output.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.conv_transpose3d.

    >>> import jax.numpy as jnp
    >>> conv_transpose3d(jnp.ones((2, 3, 3, 4)), jnp.ones((2, 2, 2, 4, 1)), stride=2).shape
    (4, 6, 6, 1)
    """
    expect_window(weight, 3)
    return conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation)
