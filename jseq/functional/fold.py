"""Unfold: all windows of an image as rows. Fold: its adjoint, windows summed into an image."""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jseq.errors import ShapeError, describe, expect_float, expect_rank
from jseq.functional.padding import pad_spatial
from jseq.functional.sharded import zeros_beside
from jseq.functional.vision import paired
from jseq.functional.windows import check_window, expect_spatial, per_axis, window_sizes

Ints = int | Sequence[int]
Options = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _options(kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Options:
    return (
        per_axis(kernel_size, 2, "kernel_size"),
        per_axis(dilation, 2, "dilation"),
        per_axis(padding, 2, "padding", minimum=0),
        per_axis(stride, 2, "stride"),
    )


def _counts(sizes: Sequence[int], options: Options) -> tuple[int, ...]:
    kernel, dilation, padding, stride = options
    return window_sizes(sizes, kernel, stride, dilation, [(p, p) for p in padding])


def unfold(x: jax.Array, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> jax.Array:
    """Lists the windows of an image: `y[l, c kh kw + i kw + j] = x[h(l) + i, w(l) + j, c]`.

    Args:
        x: the image, of any dtype.
        kernel_size: the window in pixels; one number or (height, width).
        dilation: the distance between the taps of the window.
        padding: zeros at both ends of each axis.
        stride: the step of the window.

    Input: (..., H, W, C), any number of leading axes, none included.
    Output: (..., L, C kh kw): L windows, row by row; within a window the channels are outermost, as in
        torch, whose output is this one with the last two axes swapped.

    Raises:
        ShapeError: x has too few axes or is smaller than the window.
        OptionError: an option that cannot be.

    Follows torch.nn.functional.unfold.

    >>> unfold(jnp.arange(6.0).reshape(2, 3, 1), (2, 2))
    Array([[0., 1., 3., 4.],
           [1., 2., 4., 5.]], dtype=float32)
    """
    options = _options(kernel_size, dilation, padding, stride)
    kernel, dilations, pads, _ = options
    expect_spatial(x, 2)
    pairs = tuple((p, p) for p in pads)
    check_window(x, kernel, dilations, pairs)
    return _windows(pad_spatial(x, pairs), _counts(x.shape[-3:-1], options), options)


def _windows(x: jax.Array, counts: tuple[int, ...], options: Options) -> jax.Array:
    """Cuts a strided slice for every tap, stacked behind the channels."""
    kernel, dilation, _, stride = options
    first = x.ndim - 3
    taps: list[jax.Array] = []
    for tap in itertools.product(*map(range, kernel)):
        y = x
        for axis in range(2):
            start = tap[axis] * dilation[axis]
            stop = start + (counts[axis] - 1) * stride[axis] + 1
            y = lax.slice_in_dim(y, start, stop, stride[axis], first + axis)
        taps.append(y)
    stacked = jnp.stack(taps, axis=-1)
    return paired(paired(stacked, -2), -3)


def fold(
    x: jax.Array,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> jax.Array:
    """Sums windows into an image, where they overlap: the adjoint of `unfold`.

    Args:
        x: the windows, as `unfold` lists them.
        output_size: the size of the image in pixels, without padding; one number or (height, width).
        kernel_size, dilation, padding, stride: as in `unfold`.

    Input: (..., L, C kh kw), L the number of windows that `unfold` cuts from the image.
    Output: (..., H, W, C).

    Raises:
        ShapeError: the last axis is no multiple of kh kw, or L is not the number of windows.
        OptionError: an option that cannot be.
        DtypeError: x is not floating.

    Follows torch.nn.functional.fold.

    >>> fold(jnp.ones((2, 4)), (2, 3), (2, 2))[..., 0]
    Array([[1., 2., 1.],
           [1., 2., 1.]], dtype=float32)
    """
    options = _options(kernel_size, dilation, padding, stride)
    sizes = per_axis(output_size, 2, "output_size")
    expect_float(x)
    expect_rank(x, 2, "(..., L, C * kh * kw)", "Add the missing axis: one window is x[None].")
    counts, taps = _counts(sizes, options), math.prod(options[0])
    if min(counts) < 1 or x.shape[-2] != math.prod(counts) or x.shape[-1] % taps:
        raise ShapeError(
            f"expected x of shape (..., {math.prod(max(c, 0) for c in counts)}, C * {taps}) for "
            f"output_size {sizes}, got {describe(x)}."
        )
    pads = options[2]
    shape = (*x.shape[:-2], *(s + 2 * p for s, p in zip(sizes, pads, strict=True)), x.shape[-1] // taps)
    image = jax.eval_shape(partial(zeros_beside, shape=shape, axes=x.ndim - 2), x)
    # The transpose of slices is lax.pad with interior zeros, which XLA adds up in one loop.
    y = jax.linear_transpose(partial(_windows, counts=counts, options=options), image)(x)[0]
    return pad_spatial(y, tuple((-p, -p) for p in pads))
