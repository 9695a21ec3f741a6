"""Padding of sequences, images and volumes with zeros or another constant."""

from typing import Any

import jax

from jseq import functional as F
from jseq.core import layer, no_params
from jseq.functional.padding import pad_pairs

Sides = int | tuple[int, ...]


def padded(n: int, padding: Sides, mode: str, value: float = 0.0) -> Any:
    """The pair of every padding layer; `n` is the number of spatial axes."""
    pad_pairs(padding, n)

    def apply(params: tuple[()], x: jax.Array) -> jax.Array:
        return F.pad(x, padding, n, mode, value)

    return no_params, apply


@layer
def zero_pad1d(padding: Sides):
    """Pads sequences with zeros.

    Args:
        padding: steps on every side, or (left, right); negative numbers crop.

    Input: `(..., T, C)`.
    Output: `(..., T', C)`, `T' = left + T + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ZeroPad1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 2.0, 3.0])[:, None]
        >>> jseq.zero_pad1d((1, 2)).apply((), x)[:, 0]
        Array([0., 1., 2., 3., 0., 0.], dtype=float32)
    """
    return padded(1, padding, "zeros")


@layer
def zero_pad2d(padding: Sides):
    """Pads images with zeros.

    Args:
        padding: pixels on every side, or (left, right, top, bottom); negative numbers crop.

    Input: `(..., H, W, C)`.
    Output: `(..., H', W', C)`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ZeroPad2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.zero_pad2d((1, 2, 0, 1)).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 5, 8, 3)
    """
    return padded(2, padding, "zeros")


@layer
def zero_pad3d(padding: Sides):
    """Pads volumes with zeros.

    Args:
        padding: voxels on every side, or (left, right, top, bottom, front, back); negative numbers crop.

    Input: `(..., D, H, W, C)`.
    Output: `(..., D', H', W', C)`, `D' = front + D + back`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ZeroPad3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.zero_pad3d(1).apply((), jnp.ones((8, 3, 4, 5, 2))).shape
        (8, 5, 6, 7, 2)
    """
    return padded(3, padding, "zeros")


@layer
def constant_pad1d(padding: Sides, value: float):
    """Pads sequences with a constant.

    Args:
        padding: steps on every side, or (left, right); negative numbers crop.
        value: what the padding holds.

    Input: `(..., T, C)`.
    Output: `(..., T', C)`, `T' = left + T + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ConstantPad1d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> x = jnp.array([1.0, 2.0, 3.0])[:, None]
        >>> jseq.constant_pad1d((1, 2), 9.0).apply((), x)[:, 0]
        Array([9., 1., 2., 3., 9., 9.], dtype=float32)
    """
    return padded(1, padding, "constant", value)


@layer
def constant_pad2d(padding: Sides, value: float):
    """Pads images with a constant.

    Args:
        padding: pixels on every side, or (left, right, top, bottom); negative numbers crop.
        value: what the padding holds.

    Input: `(..., H, W, C)`.
    Output: `(..., H', W', C)`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ConstantPad2d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.constant_pad2d((1, 2, 0, 1), 9.0).apply((), jnp.ones((8, 4, 5, 3))).shape
        (8, 5, 8, 3)
    """
    return padded(2, padding, "constant", value)


@layer
def constant_pad3d(padding: Sides, value: float):
    """Pads volumes with a constant.

    Args:
        padding: voxels on every side, or (left, right, top, bottom, front, back); negative numbers crop.
        value: what the padding holds.

    Input: `(..., D, H, W, C)`.
    Output: `(..., D', H', W', C)`, `D' = front + D + back`, `H' = top + H + bottom`, `W' = left + W + right`.
    Params: none, `()`.

    Raises:
        OptionError: `padding` has another length.
        ShapeError: x has too few axes, or fewer elements than are cropped.

    Follows `torch.nn.ConstantPad3d`.

    Example:
        >>> import jax.numpy as jnp, jseq
        >>> jseq.constant_pad3d(1, 9.0).apply((), jnp.ones((8, 3, 4, 5, 2))).shape
        (8, 5, 6, 7, 2)
    """
    return padded(3, padding, "constant", value)
